// Rocket, as LiteX's configuration "full" has it: one core with an FPU, CLINT and PLIC of its own.
#include "simulator.hpp"

#include "VExampleRocketSystem.h"
#include "VExampleRocketSystem___024root.h"
#include "verilated.h"

// A register of the pipeline.
#define STATE(name) \
    ExampleRocketSystem__DOT__tile_prci_domain__DOT__tile_reset_domain_tile__DOT__core__DOT__##name

struct Rocket {
    static constexpr uint64_t ROM = 0x10000000;
    static constexpr unsigned COMMITS = 1;

    VerilatedContext context;
    VExampleRocketSystem model{&context};
    Port ports[2];

    Rocket(Board& board, uint64_t latency) : ports{{board, latency}, {board, latency}} {}

    void reset(bool on) {
        model.reset = on;
        model.debug_reset = on;
        model.debug_clockeddmi_dmiReset = on;
    }

    void low(const Board&) {
        model.clock = model.debug_clock = 0;
        AXI_FROM_MEMORY(ports[0].wires, model, mem_axi4_0);
        AXI_FROM_MEMORY(ports[1].wires, model, mmio_axi4_0);
        model.eval();
        AXI_TO_MEMORY(ports[0].wires, model, mem_axi4_0);
        AXI_TO_MEMORY(ports[1].wires, model, mmio_axi4_0);
    }

    void high() {
        model.clock = model.debug_clock = 1;
        model.eval();
    }

    Committed committed(unsigned) const {
        const auto& root = *model.rootp;
        // Of 40 bits, the sign among them.
        const uint64_t pc = int64_t(root.STATE(wb_reg_pc) << 24) >> 24;
        return {bool(root.STATE(wb_reg_valid)), pc, root.STATE(wb_reg_inst),
                root.STATE(csr__DOT__reg_mstatus_prv)};
    }
};

int main(int argc, char** argv) { return simulate<Rocket>(argc, argv); }
