/* Checks from user space, for tests that run Linux natively and as a guest: what this prints must be
 * the same in both. Static, one argument says which check. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define CHILDREN 4
#define ROUNDS 12
/* The bit of V in AT_HWCAP. */
#define HWCAP_V (1ul << ('V' - 'A'))

static void die(const char *what)
{
	printf("probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Long enough for several time slices over all rounds. */
static void spin(void)
{
	for (volatile long i = 0; i < 1500000; i++)
		;
}

/* --- Registers that a context switch must keep --- */

#define EACH_F(op) \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15) \
	op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
#define LOAD_F(n) "fld f" #n ", 8*" #n "(%0)\n"
#define STORE_F(n) "fsd f" #n ", 8*" #n "(%1)\n"

/* One assembler statement from load to store, so that the compiler has no say in between. */
static int float_round(uint64_t seed, int yield)
{
	uint64_t in[32], out[32];
	for (int i = 0; i < 32; i++)
		in[i] = seed * 0x9e3779b97f4a7c15u + (uint64_t)i * 0x100000001u;
	register long turns asm("t0") = yield ? 3 : 600000;
	register long number asm("a7") = 124; /* sched_yield */
	register long a0 asm("a0") = 0;
	if (yield)
		asm volatile(EACH_F(LOAD_F) "1: ecall\naddi t0, t0, -1\nbnez t0, 1b\n" EACH_F(STORE_F)
			     : : "r"(in), "r"(out), "r"(turns), "r"(number), "r"(a0) : "memory");
	else
		asm volatile(EACH_F(LOAD_F) "1: addi t0, t0, -1\nbnez t0, 1b\n" EACH_F(STORE_F)
			     : : "r"(in), "r"(out), "r"(turns) : "memory");
	return memcmp(in, out, sizeof(in)) != 0;
}

static unsigned long vector_bytes(void)
{
	unsigned long bytes;
	asm volatile(".option push\n.option arch, +v\ncsrr %0, vlenb\n.option pop" : "=r"(bytes));
	return bytes;
}

/* System calls clobber vector registers by the ABI, so that only preemption is tried. */
static int vector_round(uint64_t seed, int unused)
{
	static uint8_t in[32 * 1024], out[32 * 1024];
	size_t size = 32 * vector_bytes();
	(void)unused;
	if (size > sizeof(in))
		die("vector registers too large");
	for (size_t i = 0; i < size; i++)
		in[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8));
	asm volatile(".option push\n.option arch, +v\n"
		     "mv t0, %0\nmv t1, %1\nli t2, 600000\n"
		     "vsetvli t3, x0, e8, m8, ta, ma\n"
		     "vle8.v v0, (t0)\nadd t0, t0, t3\nvle8.v v8, (t0)\nadd t0, t0, t3\n"
		     "vle8.v v16, (t0)\nadd t0, t0, t3\nvle8.v v24, (t0)\n"
		     "1: addi t2, t2, -1\nbnez t2, 1b\n"
		     "vse8.v v0, (t1)\nadd t1, t1, t3\nvse8.v v8, (t1)\nadd t1, t1, t3\n"
		     "vse8.v v16, (t1)\nadd t1, t1, t3\nvse8.v v24, (t1)\n"
		     ".option pop"
		     : : "r"(in), "r"(out) : "t0", "t1", "t2", "t3", "memory");
	return memcmp(in, out, size) != 0;
}

/* Several processes, each with values of its own. */
static void registers(const char *name, int (*round)(uint64_t, int))
{
	fflush(stdout);
	for (int child = 0; child < CHILDREN; child++) {
		if (fork() == 0) {
			int wrong = 0;
			for (int i = 0; i < ROUNDS; i++) {
				wrong += round((uint64_t)child << 32 | (uint64_t)i, i & 1);
				spin();
			}
			_exit(wrong);
		}
	}
	int wrong = 0, status;
	while (wait(&status) > 0)
		wrong += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	printf("%s: %d processes, %d of them found other values\n", name, CHILDREN, wrong);
}

/* --- Faults --- */

static sigjmp_buf back;
static volatile int caught, code;
static volatile uintptr_t where;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	caught = number;
	code = info->si_code;
	where = (uintptr_t)info->si_addr;
	siglongjmp(back, 1);
}

/* `low`: the address is the same in every run. */
#define FAULTS(name, low, action)                                                                    \
	do {                                                                                         \
		caught = 0;                                                                          \
		if (sigsetjmp(back, 1) == 0) {                                                       \
			action;                                                                      \
		}                                                                                    \
		if (low)                                                                             \
			printf("%s: signal %d code %d at %#lx\n", name, caught, code, (long)where);  \
		else                                                                                 \
			printf("%s: signal %d code %d\n", name, caught, code);                       \
	} while (0)

static void faults(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE };
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	volatile long sink;
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long *shared = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FAULTS("read of NULL", 1, sink = *(volatile long *)0);
	FAULTS("write to 8", 1, *(volatile long *)8 = 1);
	FAULTS("jump to NULL", 1, ((void (*)(void))0)());
	FAULTS("jump to 0x1000", 1, ((void (*)(void))0x1000)());
	FAULTS("read of -4095", 1, sink = *(volatile char *)-4095L);
	FAULTS("read of the kernel", 1, sink = *(volatile long *)0xffffffff80000000);
	FAULTS("jump into the kernel", 1, ((void (*)(void))0xffffffff80000000)());
	FAULTS("read of the monitor", 1, sink = *(volatile long *)0xffffffc000000000);
	FAULTS("jump into the monitor", 1, ((void (*)(void))0xffffffc000000000)());
	FAULTS("write to a read-only page", 0, *shared = 1);
	FAULTS("jump to data", 0, ((void (*)(void))page)());
	mprotect(page + 4096, 4096, PROT_NONE);
	FAULTS("read across an edge", 0, sink = *(volatile long *)(page + 4092));
	FAULTS("write across an edge", 0, *(volatile long *)(page + 4092) = -1);
	FAULTS("ebreak", 0, asm volatile(".4byte 0x00100073"));
	FAULTS("c.ebreak", 0, asm volatile(".2byte 0x9002"));
	FAULTS("no instruction", 0, asm volatile(".4byte 0"));
	FAULTS("csrr sstatus", 0, asm volatile("csrr t0, sstatus" : : : "t0"));
	FAULTS("csrci sstatus", 0, asm volatile("csrci sstatus, 2"));
	FAULTS("csrw satp", 0, asm volatile("csrw satp, x0"));
	FAULTS("sret", 0, asm volatile("sret"));
	FAULTS("sfence.vma", 0, asm volatile("sfence.vma"));
	FAULTS("csrr mstatus", 0, asm volatile("csrr t0, mstatus" : : : "t0"));
	FAULTS("amoadd across words", 0,
	       asm volatile("amoadd.d t0, t0, (%0)" : : "r"(page + 4) : "t0", "memory"));
	FAULTS("rdtime", 0, asm volatile("rdtime t0" : : : "t0"));
	munmap(page + 4096, 4096);

	/* What the kernel reads and writes for a process. */
	int zero = open("/dev/zero", O_RDWR), pipes[2];
	if (zero < 0 || pipe(pipes) < 0)
		die("/dev/zero");
	const uintptr_t addresses[] = { 0, 8, 0x1000, -4096ul, 0xffffffff80000000, 0xffffffc000000000,
					0x4000000000, 0x3ffffffffc };
	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		void *address = (void *)addresses[i];
		long wrote = write(pipes[1], address, 1), write_error = wrote < 0 ? errno : 0;
		long got = read(zero, address, 16), read_error = got < 0 ? errno : 0;
		printf("kernel at %#lx: write %ld error %ld, read %ld error %ld\n", addresses[i], wrote,
		       write_error, got, read_error);
	}
	long across = read(zero, page + 4000, 200);
	printf("kernel across an edge: read %ld\n", across);
	(void)sink;
}

static void misaligned(void)
{
	static uint8_t bytes[3 * 4096] __attribute__((aligned(4096)));
	unsigned long wrong = 0, sum = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t at = 4096 - 16; at < 4096 + 16; at++) {
		uint64_t expected, loaded;
		memcpy(&expected, bytes + at, 8);
		asm volatile("ld %0, (%1)" : "=r"(loaded) : "r"(bytes + at));
		wrong += loaded != expected;
		double value;
		asm volatile("fld %0, (%1)" : "=f"(value) : "r"(bytes + at));
		wrong += memcmp(&value, &expected, 8) != 0;
		uint32_t word;
		asm volatile("lwu %0, (%1)" : "=r"(word) : "r"(bytes + at));
		wrong += word != (uint32_t)expected;
		uint64_t changed = ~expected + at;
		asm volatile("sd %0, (%1)" : : "r"(changed), "r"(bytes + at) : "memory");
		memcpy(&loaded, bytes + at, 8);
		wrong += loaded != changed;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		sum = sum * 31 + bytes[i];
	printf("misaligned: %lu wrong, sum %#lx\n", wrong, sum);
}

/* --- Page tables that all harts edit --- */

#define PAGE 4096
#define PAGES 16
#define MOST_THREADS 32

static atomic_int over;
static atomic_long edits, wrong_data, forks, caught_writes;
static _Thread_local sigjmp_buf retry;
/* A page that one thread protects, and the others write to. */
static _Atomic uint64_t *shared_page;

static void on_fault(int number)
{
	(void)number;
	siglongjmp(retry, 1);
}

static uint64_t value(uint64_t seed, size_t page)
{
	return (seed * 0x9e3779b97f4a7c15u) ^ (page * 0x100000001b3u) ^ 1;
}

static void check(uint64_t found, uint64_t expected)
{
	if (found != expected)
		wrong_data++;
}

/* Whether a write faults; it must not go through if it does. */
static int faults_on_write(volatile uint64_t *at)
{
	if (sigsetjmp(retry, 1))
		return 1;
	*at = 0xbad;
	return 0;
}

static void edit(uint64_t seed)
{
	volatile uint64_t *words = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		die("mmap");
	char *bytes = (char *)words;
	const size_t page_words = PAGE / sizeof(*words);
	for (size_t page = 0; page < PAGES; page++) {
		check(words[page * page_words], 0);
		words[page * page_words] = value(seed, page);
	}
	/* Read-only: the data stay, and no write goes through. */
	size_t closed = seed % PAGES;
	if (mprotect(bytes + closed * PAGE, PAGE, PROT_READ))
		die("mprotect");
	if (faults_on_write(words + closed * page_words))
		caught_writes++;
	else
		wrong_data++;
	check(words[closed * page_words], value(seed, closed));
	if (mprotect(bytes + closed * PAGE, PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	words[closed * page_words] = value(seed, closed);
	/* A new page in the place of an old one. */
	size_t replaced = (seed / PAGES) % PAGES;
	/* In one step: another thread's mmap might take the place meanwhile. */
	if (mmap(bytes + replaced * PAGE, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("replacing a page");
	check(words[replaced * page_words], 0);
	words[replaced * page_words] = value(seed, replaced);
	/* Another process has copies. */
	if (seed % 8 == 0) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			int bad = 0;
			for (size_t page = 0; page < PAGES; page++) {
				bad |= words[page * page_words] != value(seed, page);
				words[page * page_words] = 0xc0;
				bad |= words[page * page_words] != 0xc0;
			}
			_exit(bad);
		}
		for (size_t page = 0; page < PAGES; page++)
			words[page * page_words + 1] = seed;
		int status;
		if (waitpid(child, &status, 0) != child || status != 0)
			wrong_data++;
		forks++;
	}
	/* Elsewhere. The pages may be of several mappings by now, and one mremap takes one mapping. */
	volatile uint64_t *moved = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (moved == MAP_FAILED)
		die("mmap");
	for (size_t page = 0; page < PAGES; page++)
		if (mremap(bytes + page * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   (char *)moved + page * PAGE) == MAP_FAILED)
			die("mremap");
	for (size_t page = 0; page < PAGES; page++)
		check(moved[page * page_words], value(seed, page));
	if (munmap((void *)moved, PAGES * PAGE))
		die("munmap");
	edits++;
}

/* Once mprotect has returned, no hart may write to the page. */
static void protect_shared(void)
{
	if (mprotect((void *)shared_page, PAGE, PROT_READ))
		die("mprotect");
	uint64_t seen = *shared_page;
	for (int i = 0; i < 50000; i++)
		check(*shared_page, seen);
	if (mprotect((void *)shared_page, PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	edits++;
}

/* Writes all the time, and so has the translation whenever it is taken away. */
static void write_shared(int times)
{
	if (sigsetjmp(retry, 1) == 0)
		for (int i = 0; i < times; i++)
			++*shared_page;
	else
		caught_writes++;
}

static void *edit_all_the_time(void *argument)
{
	uint64_t thread = (uint64_t)(uintptr_t)argument;
	for (volatile uint64_t round = 0; !over; round++) {
		if (thread == 0) {
			protect_shared();
			sched_yield();
			continue;
		}
		if (thread == 1) {
			write_shared(100000);
			continue;
		}
		write_shared(100);
		edit(thread << 32 | round);
	}
	return NULL;
}

static void tables(int threads, unsigned seconds)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	sigaction(SIGSEGV, &action, NULL);
	shared_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t all[MOST_THREADS];
	if (threads > MOST_THREADS)
		threads = MOST_THREADS;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&all[i], NULL, edit_all_the_time, (void *)(uintptr_t)i))
			die("pthread_create");
	for (unsigned left = seconds; left > 0; left = sleep(left))
		;
	over = 1;
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	printf("tables: %ld wrong; %ld edits, %ld forks, %ld writes caught by %d threads\n", wrong_data, edits,
	       forks, caught_writes, threads);
}

/* --- The kernel's text as the kernel reads it --- */

static uint64_t symbol(const char *name)
{
	char line[512], type, found[256];
	unsigned long address;
	FILE *file = fopen("/proc/kallsyms", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx %c %255s", &address, &type, found) == 3 && !strcmp(found, name)) {
			fclose(file);
			return address;
		}
	}
	fprintf(stderr, "probe: no symbol %s\n", name);
	exit(1);
}

static int read_kernel(int core, uint64_t address, void *to, size_t size)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	if (pread(core, &header, sizeof(header), 0) != sizeof(header))
		return -1;
	for (int i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + (uint64_t)i * sizeof(segment));
		if (pread(core, &segment, sizeof(segment), at) != sizeof(segment))
			return -1;
		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
		    address + size <= segment.p_vaddr + segment.p_memsz)
			return pread(core, to, size, (off_t)(segment.p_offset + (address - segment.p_vaddr))) ==
					       (ssize_t)size ? 0 : -1;
	}
	return -1;
}

/* Whether there is a static branch: a nop, or a jump that links nowhere. */
static int is_branch(const uint16_t *at)
{
	uint32_t word = at[0] | (uint32_t)at[1] << 16;
	return word == 0x00000013 || (word & 0xfff) == 0x06f;
}

/* Compares with the file that was booted, but for which way static branches go: that depends on what the
 * firmware offers. The kernel itself changes some of it: alternatives, jump
 * labels, the entries of traced functions; the sum over all changes tells whether they are the same. */
static void text(const char *image)
{
	uint64_t start = symbol("_start"), from = symbol("_stext"), to = symbol("_etext");
	int core = open("/proc/kcore", O_RDONLY), file = open(image, O_RDONLY);
	if (core < 0 || file < 0)
		die(core < 0 ? "/proc/kcore" : image);
	uint64_t changed = 0, sum = 0, breaks = 0;
	for (uint64_t at = from; at < to; at += 4096) {
		static uint16_t live[2048], booted[2048];
		size_t size = to - at < 4096 ? to - at : 4096;
		if (read_kernel(core, at, live, size) < 0)
			die("reading /proc/kcore");
		if (pread(file, booted, size, (off_t)(at - start)) != (ssize_t)size)
			die("reading the image");
		for (size_t i = 0; i < size / 2; i++) {
			if (live[i] == booted[i])
				continue;
			if (i + 1 < size / 2 && is_branch(&live[i]) && is_branch(&booted[i])) {
				i++;
				continue;
			}
			changed++;
			sum = sum * 0x100000001b3u ^ (at - from + 2 * i) * 0x9e3779b97f4a7c15u ^ live[i];
			breaks += live[i] == 0x9002;
		}
	}
	printf("text: %lu bytes, %lu halfwords changed, sum %#lx, %lu breaks more\n", to - from, changed, sum,
	       breaks);
}

/* Names what follows every privileged instruction of a function, as kprobe_events wants its places; the
 * kernel takes no probe at the instruction itself. */
static void after_privileged(const char *name)
{
	uint64_t start = symbol(name), end = start + 4096;
	char line[512];
	FILE *file = fopen("/proc/kallsyms", "r");
	while (file && fgets(line, sizeof(line), file)) {
		uint64_t address = strtoul(line, NULL, 16);
		if (address > start && address < end)
			end = address;
	}
	static uint16_t words[2048];
	int core = open("/proc/kcore", O_RDONLY);
	if (core < 0 || read_kernel(core, start, words, end - start) < 0)
		die("/proc/kcore");
	for (size_t i = 0; i < (end - start) / 2; i += (words[i] & 3) == 3 ? 2 : 1)
		if ((words[i] & 0x7f) == 0x73)
			printf("%s+%#zx\n", name, 2 * i + 4);
}

/* --- Modules that run into an ebreak --- */

/* Copies a module; the init function of the copy is `ebreak; return 0`, and the first entry of its
 * table of bugs is about that ebreak: loading it gives a WARN or a BUG, as that entry was. */
static void module(const char *from, const char *to)
{
	static uint8_t bytes[1 << 20];
	static const uint8_t init[] = { 0x02, 0x90, 0x01, 0x45, 0x82, 0x80 };
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t size = read(in, bytes, sizeof(bytes));
	if (size <= 0 || out < 0)
		die(from);
	/* Behind the file is a signature, which no longer fits: its length, big-endian, then this. */
	static const char mark[] = "~Module signature appended~\n";
	const uint8_t *end = bytes + size - (sizeof(mark) - 1);
	if (!memcmp(end, mark, sizeof(mark) - 1))
		size = end - 12 - (end[-4] << 24 | end[-3] << 16 | end[-2] << 8 | end[-1]) - bytes;
	Elf64_Ehdr *header = (Elf64_Ehdr *)bytes;
	Elf64_Shdr *sections = (Elf64_Shdr *)(bytes + header->e_shoff);
	const char *names = (char *)bytes + sections[header->e_shstrndx].sh_offset;
	Elf64_Sym *found = NULL;
	uint64_t index = 0;
	for (int i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		Elf64_Sym *symbols = (Elf64_Sym *)(bytes + sections[i].sh_offset);
		const char *strings = (char *)bytes + sections[sections[i].sh_link].sh_offset;
		for (uint64_t n = 0; n < sections[i].sh_size / sizeof(*symbols); n++)
			if (!strcmp(strings + symbols[n].st_name, "init_module"))
				found = &symbols[index = n];
	}
	if (!found)
		die("no init_module");
	memcpy(bytes + sections[found->st_shndx].sh_offset + found->st_value, init, sizeof(init));
	for (int i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_RELA)
			continue;
		Elf64_Rela *entries = (Elf64_Rela *)(bytes + sections[i].sh_offset);
		int bugs = !strcmp(names + sections[i].sh_name, ".rela__bug_table");
		for (uint64_t n = 0; n < sections[i].sh_size / sizeof(*entries); n++) {
			Elf64_Rela *entry = &entries[n];
			if (bugs && entry->r_offset == 0 && ELF64_R_TYPE(entry->r_info) == R_RISCV_ADD32) {
				entry->r_info = ELF64_R_INFO(index, R_RISCV_ADD32);
				entry->r_addend = 0;
			} else if (sections[i].sh_info == found->st_shndx && entry->r_offset >= found->st_value &&
				   entry->r_offset < found->st_value + sizeof(init)) {
				entry->r_info = ELF64_R_INFO(0, R_RISCV_RELAX);
			}
		}
	}
	if (write(out, bytes, (size_t)size) != size)
		die(to);
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "";
	if (!strcmp(what, "float"))
		registers("float", float_round);
	else if (!strcmp(what, "vector") && (getauxval(AT_HWCAP) & HWCAP_V))
		registers("vector", vector_round);
	else if (!strcmp(what, "vector"))
		printf("vector: none\n");
	else if (!strcmp(what, "faults"))
		faults();
	else if (!strcmp(what, "misaligned"))
		misaligned();
	else if (!strcmp(what, "tables") && count > 3)
		tables(atoi(arguments[2]), (unsigned)atoi(arguments[3]));
	else if (!strcmp(what, "text") && count > 2)
		text(arguments[2]);
	else if (!strcmp(what, "after-privileged") && count > 2)
		after_privileged(arguments[2]);
	else if (!strcmp(what, "module") && count > 3)
		module(arguments[2], arguments[3]);
	else
		printf("usage: probe CHECK [FILE...]\n");
	return 0;
}
