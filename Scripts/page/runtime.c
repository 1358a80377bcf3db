// What Embedded Swift asks of a system that a web page doesn't have: memory, and the stack's guard.
//
// Blocks have sizes of 16 · 2ⁿ bytes and are kept in a list by size when they are freed: the engine asks for the same
// few sizes in every step.
typedef __SIZE_TYPE__ size_t;
typedef unsigned char byte;

struct block {
  size_t order;
  struct block *next;
};

extern byte __heap_base;
static byte *top = &__heap_base;
static struct block *free_blocks[32];

static void *allocate(size_t size) {
  size_t order = 0;
  while (((size_t)16 << order) < size) order++;
  struct block *block = free_blocks[order];
  if (block) {
    free_blocks[order] = block->next;
    return (byte *)block + 16;
  }
  top = (byte *)(((size_t)top + 15) & ~(size_t)15);
  size_t end = (size_t)top + 16 + ((size_t)16 << order);
  size_t pages = (end + 65535) / 65536, held = __builtin_wasm_memory_size(0);
  if (pages > held && __builtin_wasm_memory_grow(0, pages - held) == (size_t)-1) return 0;
  block = (struct block *)top;
  block->order = order;
  top = (byte *)end;
  return (byte *)block + 16;
}

void *malloc(size_t size) { return allocate(size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment > 16) return 22;
  *result = allocate(size);
  return *result ? 0 : 12;
}

void free(void *pointer) {
  if (!pointer) return;
  struct block *block = (struct block *)((byte *)pointer - 16);
  block->next = free_blocks[block->order];
  free_blocks[block->order] = block;
}

void *memset(void *to, int value, size_t count) { return __builtin_memset(to, value, count); }
void *memcpy(void *to, const void *from, size_t count) { return __builtin_memcpy(to, from, count); }
void *memmove(void *to, const void *from, size_t count) { return __builtin_memmove(to, from, count); }

size_t __stack_chk_guard = 0x2e0f9a1b;
void __stack_chk_fail(void) { __builtin_trap(); }
