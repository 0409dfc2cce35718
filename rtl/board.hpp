// The board around a core: memory, a boot ROM, a UART, a finisher and, for cores that bring none, a CLINT.
// Where these are, the device trees beside this file say too.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/mman.h>

class Board {
public:
    static constexpr uint64_t RAM = 0x80000000, RAM_SIZE = 384ull << 20;
    // Firmware goes on here.
    static constexpr uint64_t PAYLOAD = 0x80200000;

    // `rom` is where the core starts.
    explicit Board(uint64_t rom) : rom_base(rom) {
        void* pages = mmap(nullptr, RAM_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) {
            perror("memory of the board");
            exit(2);
        }
        ram = static_cast<uint8_t*>(pages);
    }

    // Puts a file into memory or the ROM.
    void load(const std::string& path, uint64_t address) {
        FILE* file = fopen(path.c_str(), "rb");
        if (!file) {
            perror(path.c_str());
            exit(2);
        }
        const Place place = find(address);
        const size_t count = place.bytes ? fread(place.bytes, 1, place.left, file) : 0;
        if (count == 0 || fgetc(file) != EOF) {
            fprintf(stderr, "%s does not fit at %#llx\n", path.c_str(), (unsigned long long)address);
            exit(2);
        }
        fclose(file);
    }

    // Reads the aligned eight bytes around an address. Whether something answers there.
    bool read(uint64_t address, uint8_t out[8]) const {
        address &= ~7ull;
        uint64_t value = 0;
        if (const Place place = find(address); place.bytes) {
            memcpy(&value, place.bytes, 8);
        } else if (in(address, CLINT, 0x10000)) {
            switch (address - CLINT) {
            case MSIP: value = msip; break;
            case MTIMECMP: value = mtimecmp; break;
            case MTIME: value = mtime; break;
            }
        } else if (in(address, UART, 0x1000)) {
            // The receiver's register says that there is nothing (bit 31).
            value = address == UART ? 0x80000000ull << 32 : 0;
        } else if (!in(address, FINISHER, 0x1000)) {
            memset(out, 0, 8);
            return false;
        }
        memcpy(out, &value, 8);
        return true;
    }

    // Writes those of the aligned eight bytes whose bit of `strobe` is set. Whether something answers there.
    bool write(uint64_t address, const uint8_t data[8], uint8_t strobe) {
        address &= ~7ull;
        uint8_t* target = nullptr;
        if (const Place place = find(address); place.bytes) {
            target = place.bytes;
        } else if (in(address, CLINT, 0x10000)) {
            switch (address - CLINT) {
            case MSIP: target = reinterpret_cast<uint8_t*>(&msip); break;
            case MTIMECMP: target = reinterpret_cast<uint8_t*>(&mtimecmp); break;
            }
        } else if (in(address, UART, 0x1000)) {
            if (address == UART && strobe & 1) print(data[0]);
        } else if (in(address, FINISHER, 0x1000)) {
            uint32_t word;
            memcpy(&word, data, 4);
            if (address == FINISHER && strobe & 15) finish(word);
        } else {
            return false;
        }
        for (int byte = 0; target && byte < 8; byte++)
            if (strobe >> byte & 1) target[byte] = data[byte];
        return true;
    }

    // A tick of `time` is a hundred cycles.
    void tick(uint64_t cycle) { mtime = cycle / 100; }
    bool timer_interrupt() const { return mtime >= mtimecmp; }
    bool software_interrupt() const { return msip & 1; }

    // What goes out by the UART.
    void print_to(FILE* file) { out = file; }

    bool finished = false;
    // Of the end: 0 for a shutdown, 3 for a reset, else a failure.
    int status = 0;

private:
    static constexpr uint64_t CLINT = 0x02000000, UART = 0x60001000, FINISHER = 0x60002000;
    static constexpr uint64_t MSIP = 0, MTIMECMP = 0x4000, MTIME = 0xbff8;

    struct Place {
        uint8_t* bytes;
        size_t left;
    };

    static bool in(uint64_t address, uint64_t base, uint64_t size) { return address - base < size; }

    Place find(uint64_t address) const {
        if (in(address, RAM, RAM_SIZE)) return {ram + (address - RAM), RAM_SIZE - (address - RAM)};
        if (in(address, rom_base, sizeof rom))
            return {const_cast<uint8_t*>(rom) + (address - rom_base), sizeof rom - (address - rom_base)};
        return {nullptr, 0};
    }

    void print(uint8_t byte) {
        fputc(byte, out);
        if (byte == '\n') fflush(out);
    }

    void finish(uint32_t word) {
        finished = true;
        switch (word & 0xffff) {
        case 0x5555: status = 0; break;
        case 0x7777: status = 3; break;
        default: status = word >> 16 ? word >> 16 & 0xff : 1;
        }
    }

    uint8_t* ram;
    uint64_t rom_base;
    uint8_t rom[4096] = {};
    uint64_t mtime = 0, mtimecmp = ~0ull, msip = 0;
    FILE* out = stdout;
};
