//! Chapter "Timer Extension".

use super::*;

#[test]
fn the_deadline_is_the_calling_harts() {
    let mut machine = Mock::new(4);
    for (hart, deadline) in [(0, 0), (3, 12345), (1, u64::MAX)] {
        assert_eq!(
            handle(&call(TIME, 0, &[deadline]), hart, &mut machine),
            ok(0)
        );
        assert_eq!(machine.take_events(), [Happening::Timer(hart, deadline)]);
    }
}
