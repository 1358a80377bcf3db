// Products with a right factor that is stored in fewer bits: some rows of it at a time are decoded into a tile that
// stays in cache, and the tile is multiplied as any matrix of float32.
//
// How many rows a tile has depends on the shape alone, so that the order of additions does not depend on the threads.
#include "dispatch.h"
#include "gemm.h"

enum {
  TILE_FLOATS = 1 << 18,  // 1 MB: the second-level cache of one core
  LEAST_TILE_ROWS = 64,   // fewer would have a product with many rows of its own take the way for few
  FEW = 36,               // rows of the left factor: decoding is most of the work, and each thread does its own
  FEW_TILE_ROWS = 16,
};

struct decoding {
  const ck_encoded *matrix;
  ptrdiff_t first;
  float *out;
};

static void decode_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const struct decoding *d = context;
  const ptrdiff_t columns = d->matrix->columns;
  ck_decode_rows(d->matrix, d->first + begin, d->first + end, d->out + begin * columns, columns);
}

static void decode(const ck_encoded *matrix, ptrdiff_t first, ptrdiff_t rows, float *out) {
  struct decoding context = {matrix, first, out};
  ck_for_ranges(rows, ck_row_grain(CK_GRAIN, matrix->columns), decode_range, &context);
}

/// The product with the rows first ..< first + rows of the encoded matrix, which are decoded in `tile`. `halves`: room
/// for them as bfloat16, where both factors shall be that.
static void multiply_tile(const ck_product *p, ptrdiff_t first, ptrdiff_t rows, const float *tile, uint16_t *halves) {
  ck_product part = *p;
  part.b = (ck_factor){.elements = tile, .stride = p->b.encoded->columns, .transposed = p->b.transposed};
  if (halves != NULL) {
    ck_f32_to_bf16(tile, halves, (size_t)(rows * part.b.stride));
    part.b.elements = halves;
    part.b.bfloat16 = part.b.rounds = true;
  }
  if (p->b.transposed) {  // these rows are columns of C
    part.n = rows;
    part.c += first;
  } else {  // these rows are a part of the sum
    part.k = rows;
    part.a.elements = (const float *)p->a.elements + (p->a.transposed ? first * p->a.stride : first);
    part.beta = first == 0 ? p->beta : 1;
  }
  ck_multiply(&part);
}

/// Few rows of the left factor: the tiles of a range of rows, by one thread.
static void multiply_few_range(const void *context, ptrdiff_t begin, ptrdiff_t end) {
  const ck_product *p = context;
  const ck_encoded *matrix = p->b.encoded;
  const size_t bytes = (size_t)(FEW_TILE_ROWS * matrix->columns) * sizeof(float);
  float *tile = ck_allocate(bytes);
  for (ptrdiff_t first = begin; first < end; first += FEW_TILE_ROWS) {
    const ptrdiff_t rows = ck_smaller(FEW_TILE_ROWS, end - first);
    ck_decode_rows(matrix, first, first + rows, tile, matrix->columns);
    multiply_tile(p, first, rows, tile, NULL);
  }
  ck_deallocate(tile, bytes);
}

void ck_multiply_encoded(const ck_product *p) {
  const ck_encoded *matrix = p->b.encoded;
  const bool is_whole = matrix->encoding == CK_F32 || matrix->encoding == CK_BF16;
  if (is_whole && p->m == 1 && p->b.transposed && !p->a.transposed && ck_product_is_skinny(p)) {
    ck_multiply_stored_row(p);
    return;
  }
  if (p->b.transposed && !p->a.transposed && p->m <= FEW) {
    ck_for_ranges(matrix->rows, ck_larger(FEW_TILE_ROWS, ck_row_grain(CK_GRAIN, matrix->columns)), multiply_few_range,
                  p);
    return;
  }
  const ptrdiff_t most = ck_larger(LEAST_TILE_ROWS, TILE_FLOATS / ck_larger(1, matrix->columns));
  const ptrdiff_t tile_rows = ck_smaller(most, matrix->rows);
  const ptrdiff_t floats = tile_rows * matrix->columns;
  const size_t bytes = (size_t)floats * (sizeof(float) + (p->b.rounds ? sizeof(uint16_t) : 0));
  float *tile = ck_allocate(bytes);
  uint16_t *halves = p->b.rounds ? (uint16_t *)(tile + floats) : NULL;
  for (ptrdiff_t first = 0; first < matrix->rows; first += tile_rows) {
    const ptrdiff_t rows = ck_smaller(tile_rows, matrix->rows - first);
    decode(matrix, first, rows, tile);
    multiply_tile(p, first, rows, tile, halves);
  }
  ck_deallocate(tile, bytes);
}
