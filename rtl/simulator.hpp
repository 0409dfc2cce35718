// Runs jobs on a core. Firmware boots once: when the core fetches the payload's first line, each job that is read
// from standard input goes on from there in a process of its own, with its own memory, files and output.
//
//     simulator FILE ADDRESS ...
//
// loads files and starts the core. A job is a line of fields with tabs between them:
//
//     NAME OUTPUT CYCLES [load FILE ADDRESS]... [trace FILE FROM TO COUNT]...
//
// OUTPUT takes what the UART sends; after CYCLES the job is ended. A trace begins when the instruction at the
// address FROM commits for the COUNT-th time and ends with the next one at TO: a line for each instruction, with
// cycle, address, word (0 where the core does not tell it) and privilege. When a job ends, a line says how:
//
//     NAME end STATUS CYCLES      or      NAME limit PC CYCLES
#pragma once

#include "axi.hpp"

#include <chrono>
#include <iostream>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

// An instruction that leaves the pipeline, or an exception that it raises.
struct Committed {
    bool valid;
    uint64_t pc;
    uint32_t word;
    unsigned privilege;
};

class Trace {
public:
    Trace(const std::string& path, uint64_t from, uint64_t to, uint64_t count)
        : file(fopen(path.c_str(), "w")), from(from), to(to), count(count) {}

    void see(uint64_t cycle, const Committed& committed) {
        if (!file || !committed.valid) return;
        // A core may say the same instruction again, when it has to wait for it.
        const bool again = committed.pc == last;
        last = committed.pc;
        if (committed.pc == from && !again && count > 0 && --count == 0) running = true;
        if (!running) return;
        fprintf(file, "%llu %llx %x %u\n", (unsigned long long)cycle, (unsigned long long)committed.pc,
                committed.word, committed.privilege);
        if (committed.pc == to) {
            fclose(file);
            file = nullptr;
        }
    }

private:
    FILE* file;
    uint64_t from, to, count, last = 0;
    bool running = false;
};

struct Job {
    std::string name;
    uint64_t limit = ~0ull;
    std::vector<Trace> traces;

    // Reads the line and does what it says.
    void begin(const std::string& line, Board& board, uint64_t cycle) {
        std::istringstream fields(line);
        auto next = [&] {
            std::string field;
            std::getline(fields, field, '\t');
            return field;
        };
        auto number = [&] { return strtoull(next().c_str(), nullptr, 0); };
        name = next();
        const std::string output = next();
        FILE* out = fopen(output.c_str(), "w");
        if (!out) {
            perror(output.c_str());
            exit(2);
        }
        board.print_to(out);
        limit = cycle + number();
        for (std::string word = next(); !word.empty(); word = next()) {
            const std::string path = next();
            if (word == "load") {
                board.load(path, number());
            } else if (word == "trace") {
                const uint64_t from = number(), to = number();
                traces.emplace_back(path, from, to, number());
            } else {
                fprintf(stderr, "a job cannot %s\n", word.c_str());
                exit(2);
            }
        }
    }
};

// Takes jobs one after the other; returns in the processes that do them.
inline void serve(Job& job, Board& board, uint64_t cycle) {
    std::string line;
    while (std::getline(std::cin, line)) {
        const pid_t child = fork();
        if (child == 0) {
            job.begin(line, board, cycle);
            return;
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "a job came to no end: %s\n", line.c_str());
            exit(2);
        }
    }
    exit(0);
}

// How long firmware may take.
constexpr uint64_t FIRMWARE_CYCLES = 50'000'000;
constexpr uint64_t RESET_CYCLES = 100;
constexpr uint64_t LATENCY = 10;

// Core: ROM, the ports of its bus, `low(board)` and `high()` for the halves of a cycle, `reset(bool)`, and
// `committed(index)` for COMMITS of them, in order.
template <class Core>
int simulate(int argc, char** argv) {
    Board board(Core::ROM);
    for (int at = 1; at + 1 < argc; at += 2) board.load(argv[at], strtoull(argv[at + 1], nullptr, 0));
    Core core(board, LATENCY);
    Job job;
    bool serving = false;
    uint64_t cycle = 0, start = 0, pc = 0;
    job.limit = FIRMWARE_CYCLES;
    const auto began = std::chrono::steady_clock::now();
    while (!board.finished && cycle < job.limit) {
        core.reset(cycle < RESET_CYCLES);
        board.tick(cycle);
        for (Port& port : core.ports) port.drive(cycle);
        core.low(board);
        for (unsigned index = 0; index < Core::COMMITS; index++) {
            const Committed committed = core.committed(index);
            if (!committed.valid) continue;
            pc = committed.pc;
            for (Trace& trace : job.traces) trace.see(cycle, committed);
        }
        core.high();
        bool reached = false;
        if (cycle >= RESET_CYCLES)
            for (Port& port : core.ports) reached |= (port.clock(cycle) & ~63ull) == Board::PAYLOAD;
        cycle++;
        if (reached && !serving) {
            serving = true;
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
            printf("ready %llu %.1f\n", (unsigned long long)cycle, took.count());
            fflush(stdout);
            serve(job, board, cycle);
            start = cycle;
        }
    }
    if (!serving) {
        fprintf(stderr, "the firmware did not come to its end, pc %#llx\n", (unsigned long long)pc);
        return 2;
    }
    if (board.finished)
        printf("%s end %d %llu\n", job.name.c_str(), board.status, (unsigned long long)(cycle - start));
    else
        printf("%s limit %#llx %llu\n", job.name.c_str(), (unsigned long long)pc, (unsigned long long)(cycle - start));
    fflush(nullptr);
    _exit(0);
}
