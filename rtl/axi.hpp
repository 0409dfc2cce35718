// The memory's end of an AXI4 bus of 64 bits (AMBA AXI protocol specification, issue H): bursts, exclusive
// accesses, and the atomic transactions of AXI5. Each answer comes `latency` cycles after its request.
#pragma once

#include "board.hpp"

#include <deque>

// The wires, as the memory sees them, for one cycle.
struct Wires {
    struct Address {
        bool valid = false;
        uint64_t address = 0;
        unsigned id = 0, length = 0, size = 0, burst = 0, atomic = 0;
        bool lock = false;
    } ar, aw;
    struct {
        bool valid = false, last = false;
        uint64_t data = 0;
        uint8_t strobe = 0;
    } w;
    bool r_taken = false, b_taken = false;

    bool ar_ready = false, aw_ready = false, w_ready = false;
    struct {
        bool valid = false, last = false;
        unsigned id = 0, response = 0;
        uint64_t data = 0;
    } r;
    struct {
        bool valid = false;
        unsigned id = 0, response = 0;
    } b;
};

class Port {
public:
    Wires wires;

    Port(Board& board, uint64_t latency) : board(board), latency(latency) {}

    // Sets what the memory drives in this cycle.
    void drive(uint64_t cycle) {
        wires.ar_ready = reads.size() < DEPTH;
        wires.aw_ready = writes.size() < DEPTH;
        wires.w_ready = !writes.empty();
        wires.r.valid = !reads.empty() && cycle >= reads.front().due;
        if (wires.r.valid) {
            const Read& read = reads.front();
            wires.r.id = read.request.id;
            wires.r.last = read_beat == read.request.length;
            wires.r.data = read.old;
            wires.r.response = OKAY;
            if (!read.atomic) {
                uint8_t bytes[8];
                const bool there = board.read(beat_address(read.request, read_beat), bytes);
                memcpy(&wires.r.data, bytes, 8);
                wires.r.response = there ? OKAY : DECERR;
            }
        }
        wires.b.valid = !answers.empty() && cycle >= answers.front().due;
        if (wires.b.valid) {
            wires.b.id = answers.front().id;
            wires.b.response = answers.front().response;
        }
    }

    // Does what was agreed upon in this cycle. Gives the address of a read that began.
    uint64_t clock(uint64_t cycle) {
        if (wires.r.valid && wires.r_taken) {
            read_beat = wires.r.last ? 0 : read_beat + 1;
            if (wires.r.last) reads.pop_front();
        }
        if (wires.b.valid && wires.b_taken) answers.pop_front();
        if (wires.w.valid && wires.w_ready) write(cycle);
        if (wires.aw.valid && wires.aw_ready) writes.push_back(wires.aw);
        if (!wires.ar.valid || !wires.ar_ready) return 0;
        reads.push_back({wires.ar, cycle + latency, false, 0});
        if (wires.ar.lock) reserved = wires.ar.address & ~7ull;
        return wires.ar.address;
    }

private:
    static constexpr size_t DEPTH = 8;
    static constexpr unsigned OKAY = 0, EXOKAY = 1, DECERR = 3;
    static constexpr unsigned FIXED = 0, WRAP = 2;
    static constexpr uint64_t NOTHING = ~0ull;

    struct Read {
        Wires::Address request;
        uint64_t due;
        // What an atomic transaction found.
        bool atomic;
        uint64_t old;
    };
    struct Answer {
        unsigned id, response;
        uint64_t due;
    };

    static uint64_t beat_address(const Wires::Address& request, unsigned beat) {
        const uint64_t size = 1ull << request.size, aligned = request.address & ~(size - 1);
        if (beat == 0 || request.burst == FIXED) return request.address;
        if (request.burst != WRAP) return aligned + beat * size;
        const uint64_t whole = size * (request.length + 1), start = request.address & ~(whole - 1);
        return start + (aligned - start + beat * size) % whole;
    }

    void write(uint64_t cycle) {
        const Wires::Address request = writes.front();
        const uint64_t address = beat_address(request, write_beat);
        uint8_t data[8];
        memcpy(data, &wires.w.data, 8);
        unsigned response = OKAY;
        if (request.lock) {
            if (reserved == (request.address & ~7ull)) {
                board.write(address, data, wires.w.strobe);
                response = EXOKAY;
            }
            reserved = NOTHING;
        } else if (request.atomic) {
            uint64_t old;
            uint8_t bytes[8];
            board.read(address, bytes);
            memcpy(&old, bytes, 8);
            const uint64_t made = combined(request, address, old, wires.w.data);
            memcpy(data, &made, 8);
            board.write(address, data, wires.w.strobe);
            reads.push_back({request, cycle + latency, true, old});
        } else if (!board.write(address, data, wires.w.strobe)) {
            response = DECERR;
        }
        write_beat++;
        if (wires.w.last) {
            answers.push_back({request.id, response, cycle + latency});
            writes.pop_front();
            write_beat = 0;
        }
    }

    // The eight bytes that an atomic transaction stores: AWATOP's meaning is in E1.1.2 of the specification.
    static uint64_t combined(const Wires::Address& request, uint64_t address, uint64_t old, uint64_t given) {
        const bool word = request.size == 2;
        const unsigned shift = word ? (address & 4) * 8 : 0;
        uint64_t a = old >> shift, b = given >> shift;
        if (word) {
            // Sign extension serves both orders, and all else looks at the low half.
            a = int64_t(int32_t(a));
            b = int64_t(int32_t(b));
        }
        uint64_t made = b;
        if ((request.atomic & 0x30) != 0x30) {
            switch (request.atomic & 7) {
            case 0: made = a + b; break;
            case 1: made = a & ~b; break;
            case 2: made = a ^ b; break;
            case 3: made = a | b; break;
            case 4: made = int64_t(a) > int64_t(b) ? a : b; break;
            case 5: made = int64_t(a) < int64_t(b) ? a : b; break;
            case 6: made = a > b ? a : b; break;
            case 7: made = a < b ? a : b; break;
            }
        }
        return word ? (made & 0xffffffff) << shift : made;
    }

    Board& board;
    uint64_t latency;
    std::deque<Read> reads;
    std::deque<Wires::Address> writes;
    std::deque<Answer> answers;
    unsigned read_beat = 0, write_beat = 0;
    uint64_t reserved = NOTHING;
};

// The wires of a Verilated model whose bus has this prefix, by the names of Chisel.
#define AXI_FROM_MEMORY(wires, model, bus)                  \
    do {                                                    \
        (model).bus##_ar_ready = (wires).ar_ready;          \
        (model).bus##_aw_ready = (wires).aw_ready;          \
        (model).bus##_w_ready = (wires).w_ready;            \
        (model).bus##_r_valid = (wires).r.valid;            \
        (model).bus##_r_bits_id = (wires).r.id;             \
        (model).bus##_r_bits_data = (wires).r.data;         \
        (model).bus##_r_bits_resp = (wires).r.response;     \
        (model).bus##_r_bits_last = (wires).r.last;         \
        (model).bus##_b_valid = (wires).b.valid;            \
        (model).bus##_b_bits_id = (wires).b.id;             \
        (model).bus##_b_bits_resp = (wires).b.response;     \
    } while (0)

#define AXI_ADDRESS(channel, model, name)                   \
    do {                                                    \
        (channel).valid = (model).name##_valid;             \
        (channel).address = (model).name##_bits_addr;       \
        (channel).id = (model).name##_bits_id;              \
        (channel).length = (model).name##_bits_len;         \
        (channel).size = (model).name##_bits_size;          \
        (channel).burst = (model).name##_bits_burst;        \
        (channel).lock = (model).name##_bits_lock;          \
    } while (0)

#define AXI_TO_MEMORY(wires, model, bus)                    \
    do {                                                    \
        AXI_ADDRESS((wires).ar, model, bus##_ar);           \
        AXI_ADDRESS((wires).aw, model, bus##_aw);           \
        (wires).w.valid = (model).bus##_w_valid;            \
        (wires).w.data = (model).bus##_w_bits_data;         \
        (wires).w.strobe = (model).bus##_w_bits_strb;       \
        (wires).w.last = (model).bus##_w_bits_last;         \
        (wires).r_taken = (model).bus##_r_ready;            \
        (wires).b_taken = (model).bus##_b_ready;            \
    } while (0)
