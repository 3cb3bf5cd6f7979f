// A QEMU user-mode plugin that counts the instructions which an arm64 program
// executes inside one function, calls included, by class.
//
//   gcc -O2 -shared -fPIC -o icount.so icount.c
//   qemu-aarch64 -plugin ./icount.so,from=0x11000,to=0x11200,out=FILE PROGRAM
//
// from and to are the function's addresses. FILE gets a line "calls N" and a
// line for each class with the instructions of all calls. Calls must not run at
// the same time.
//
// Plugin API version 1, of QEMU 5 to 8: https://www.qemu.org/docs/master/devel/tcg-plugins.html
// Debian's qemu-user comes without qemu-plugin.h, so what is used of it is
// declared here. Encodings: Arm Architecture Reference Manual, C4.1.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned cpu, void *), int flags, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum class { DOT, PRODUCT, VECTOR, LOAD, STORE, BRANCH, OTHER, CLASSES };
static const char *const names[CLASSES] = {"dot", "product", "vector", "load", "store", "branch", "other"};

static enum class load_or_store(uint32_t w) {
	bool vector = w >> 26 & 1, bit22 = w >> 22 & 1;
	if ((w & 0x3B000000) == 0x18000000) // relative to the program counter
		return LOAD;
	if ((w & 0x3A000000) == 0x38000000 && !vector) { // one general register
		if ((w & 0xC0C00000) == 0xC0800000) // prefetch
			return OTHER;
		return (w >> 22 & 3) ? LOAD : STORE;
	}
	return bit22 ? LOAD : STORE;
}

static enum class classify(uint32_t w) {
	if ((w & 0x0A000000) == 0x08000000)
		return load_or_store(w);
	if ((w & 0x1C000000) == 0x14000000)
		return BRANCH;
	if ((w & 0x0E000000) != 0x0E000000)
		return OTHER;
	if ((w & 0x9F20F400) == 0x0E009400 || // SDOT, UDOT, USDOT
	    (w & 0x9F00F400) == 0x0F00E000 || // by element
	    (w & 0xDFE0F400) == 0x4E80A400)   // SMMLA, UMMLA, USMMLA
		return DOT;
	if ((w & 0x9F20DC00) == 0x0E208000 || // SMLAL, SMLSL and their like
	    (w & 0x9F20FC00) == 0x0E20C000 || // SMULL, UMULL
	    (w & 0x9F00B400) == 0x0F002000)   // SMLAL, SMLSL by element
		return PRODUCT;
	return VECTOR;
}

// A block is code without branches inside: what QEMU translates at once.
struct block {
	uint64_t instructions[CLASSES];
	bool enters, leaves;
};

static uint64_t from, to, calls, counts[CLASSES];
static bool inside;
static const char *out;

static void execute(unsigned cpu, void *data) {
	const struct block *b = data;
	(void)cpu;
	if (b->enters)
		inside = true;
	if (!inside)
		return;
	for (int c = 0; c < CLASSES; c++)
		counts[c] += b->instructions[c];
	if (b->leaves) {
		inside = false;
		calls++;
	}
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
	const uint32_t ret = 0xD65F03C0;
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	struct block *b = calloc(1, sizeof *b); // lives as long as the translation, which may be for ever
	(void)id;
	if (!b)
		abort();
	b->enters = address == from;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		uint32_t w;
		memcpy(&w, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof w);
		b->instructions[classify(w)]++;
		b->leaves |= w == ret && from <= address && address < to;
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, 0, b);
}

static void report(qemu_plugin_id_t id, void *data) {
	FILE *f = fopen(out, "w");
	(void)id, (void)data;
	if (!f) {
		perror(out);
		return;
	}
	fprintf(f, "calls %llu\n", (unsigned long long)calls);
	for (int c = 0; c < CLASSES; c++)
		fprintf(f, "%s %llu\n", names[c], (unsigned long long)counts[c]);
	fclose(f);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "from=", 5))
			from = strtoull(argv[i] + 5, NULL, 0);
		else if (!strncmp(argv[i], "to=", 3))
			to = strtoull(argv[i] + 3, NULL, 0);
		else if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
	}
	if (!from || from >= to || !out) {
		fprintf(stderr, "icount: want from=ADDRESS,to=ADDRESS,out=FILE\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, report, NULL);
	return 0;
}
