// CVA6 (once Ariane), wrapped by cva6_top.sv.
#include "simulator.hpp"

#include "Vcva6_top.h"
#include "verilated.h"

struct Cva6 {
    static constexpr uint64_t ROM = 0x10000;
    static constexpr unsigned COMMITS = 2;

    VerilatedContext context;
    Vcva6_top model{&context};
    Port ports[1];

    Cva6(Board& board, uint64_t latency) : ports{{board, latency}} {}

    void reset(bool on) { model.rst_n = !on; }

    void low(const Board& board) {
        model.clock = 0;
        model.time_irq = board.timer_interrupt();
        model.ipi = board.software_interrupt();
        AXI_FROM_MEMORY(ports[0].wires, model, axi);
        model.eval();
        AXI_TO_MEMORY(ports[0].wires, model, axi);
        ports[0].wires.aw.atomic = model.axi_aw_bits_atop;
    }

    void high() {
        model.clock = 1;
        model.eval();
    }

    Committed committed(unsigned index) const {
        if (index == 0) return {bool(model.commit_0), model.pc_0, 0, model.privilege};
        return {bool(model.commit_1), model.pc_1, 0, model.privilege};
    }
};

int main(int argc, char** argv) { return simulate<Cva6>(argc, argv); }
