// CKernels: the vectorised loops that Swift can't yet dispatch by CPU at run time.
//
// Contract of every function here: buffers are dense float32 (row-major) unless a stride says otherwise;
// an output may be the same buffer as an input only where that is said; results do not depend on the number
// of threads, bit for bit (each output element is computed by one fixed sequence of operations, and sums run
// over fixed chunks added in order).
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Threads. One pool for the process, started at first use.

/// Threads that kernels may use, at least 1. The default is the number of processors this process may run on.
int ck_thread_count(void);
void ck_set_thread_count(int count);
/// Runs body(context, part) for each part in 0..<parts, on the pool and the caller; returns when all are done.
/// Nested calls run serially on the calling thread.
void ck_parallel(int parts, void (*body)(void *context, int part), void *context);
/// What the CPU offers and was chosen: "avx512", "avx2", "neon" or "plain".
const char *ck_instruction_set(void);
/// Whether it multiplies bfloat16 as fast as half as many float32.
bool ck_multiplies_bfloat16(void);

// MARK: Memory. Blocks are 64-byte aligned and kept for reuse, so large tensors are not paged in anew.

void *ck_allocate(size_t bytes);
/// `bytes` is what was asked for at allocation.
void ck_deallocate(void *block, size_t bytes);
/// Gives the kept blocks back to the system.
void ck_trim_memory(void);

// MARK: Encoded numbers: matrices stored in fewer bits, decoded to float32 row by row.

/// How numbers are encoded. The blocks are those of ggml, the codes those of bitsandbytes, mlx, GPTQ and AWQ.
enum {
  CK_F32,
  CK_F16,
  CK_BF16,
  CK_Q8_0,
  CK_Q4_0,
  CK_Q4_1,
  CK_Q5_0,
  CK_Q5_1,
  CK_Q2_K,
  CK_Q3_K,
  CK_Q4_K,
  CK_Q5_K,
  CK_Q6_K,
  CK_CODE_BOOK,  // 4 bits, the first of two in the high ones: table[code] · scale; groups go on over the rows' ends
  CK_ROW_BYTES,  // signed bytes: code · scale of the row / 127
  CK_AFFINE,     // 4 or 8 bits, low bits first: code · scale + offset; a row of codes is whole words
  CK_GPTQ,       // stored [columns, rows], 4 or 8 bits, eight (four) columns to a word
  CK_AWQ,        // stored [columns, rows], 4 bits, eight rows to a word
};

/// A matrix of encoded numbers. Blocks of ggml hold their scales; other encodings keep them in arrays of their own.
typedef struct {
  int encoding;
  ptrdiff_t rows, columns;
  const void *codes;
  int bits;         // of a code
  ptrdiff_t group;  // how many numbers share a scale
  const void *scales, *offsets;
  int scale_encoding;  // CK_F32, CK_F16 or CK_BF16, for scales and offsets
  const float *table;  // of a code book
  // Where a code book's scales are codes themselves: scale_table[code] · outer_scales[i / outer_group] + outer_offset.
  const uint8_t *scale_codes;
  const float *scale_table, *outer_scales;
  ptrdiff_t outer_group;
  float outer_offset;
  const int32_t *groups;  // GPTQ: the group of each column; NULL: they follow each other
  int zero_shift;         // GPTQ: what is added to a stored zero point
  ptrdiff_t head;         // rows of an attention head whose two halves are stored in turns; 0: rows lie in order
} ck_encoded;

/// Decodes rows begin ..< end into `out`, whose rows lie `stride` floats apart. Each number is made by the operations
/// of the format's reference implementation in their order, none of them fused.
void ck_decode_rows(const ck_encoded *matrix, ptrdiff_t begin, ptrdiff_t end, float *out, ptrdiff_t stride);
/// The same for rows by index.
void ck_decode_rows_at(const ck_encoded *matrix, const int32_t *rows, ptrdiff_t count, float *out);
/// Encodes `count` finite numbers, a multiple of the block's, into ggml's blocks. Q8_0 to Q5_1 as its reference does,
/// bit for bit; Q4_K, Q5_K and Q6_K by a search for the scales with the least squared error.
void ck_encode_blocks(int encoding, const float *x, void *blocks, ptrdiff_t count);
/// Encodes numbers, from the beginning of a group on, by the nearest of a table's 16 values in ascending order, each
/// group's largest magnitude being 1: two codes to a byte, the first in the high bits; a scale for each group.
void ck_encode_code_book(const float *x, ptrdiff_t count, ptrdiff_t group, const float *table, uint8_t *codes,
                         float *scales);
/// Numbers of a block of ggml's, and its bytes.
ptrdiff_t ck_block_count(int encoding);
ptrdiff_t ck_block_bytes(int encoding);

// MARK: Matrix products.

/// A matrix that a product reads, its rows `stride` elements apart.
typedef struct {
  const void *elements;  // float32
  ptrdiff_t stride;
  bool transposed;            // the product takes its transpose
  bool bfloat16;              // instead, widened block by block; the right factor alone may be that
  bool rounds;                // of the right factor: both are rounded to bfloat16, sums are float32
  const ck_encoded *encoded;  // instead, decoded tile by tile; the right factor alone may be that, and whole
  bool bytes;                 // being in ggml's blocks: the left factor is rounded to 8 bits a number, where it is not
                              // transposed and this is
} ck_factor;

/// C = alpha · op(A) op(B) + beta · C; op(A) is [m, k], op(B) is [k, n], C is [m, n] with rows ldc elements apart.
/// With beta == 0, C is written without being read.
typedef struct {
  ptrdiff_t m, n, k;
  float alpha, beta;
  ck_factor a, b;
  float *c;
  ptrdiff_t ldc;
} ck_product;

void ck_multiply(const ck_product *product);
/// Several products with the same left factor, at the cost of waking threads once where few rows meet large matrices.
void ck_multiply_together(const ck_product *products, ptrdiff_t count);
/// Whether a right factor in this encoding can be multiplied as bytes.
bool ck_multiplies_bytes(int encoding);
/// `count` products of equal shape, of which the first is given; consecutive matrices lie step_a, step_b, step_c
/// elements apart (0 repeats). Where there are more than one, both factors are float32.
void ck_multiply_batch(const ck_product *first, ptrdiff_t count, ptrdiff_t step_a, ptrdiff_t step_b, ptrdiff_t step_c);

// MARK: Elementwise.

typedef enum {
  CK_NEGATE,
  CK_EXP,
  CK_LOG,
  CK_TANH,
  CK_ERF,
  CK_SIGMOID,
  CK_RELU,
  CK_GELU,
  CK_GELU_TANH,
  CK_SILU,
  CK_SQRT,
  CK_RSQRT,
  CK_SQUARE,
  CK_ABS,
  CK_RECIPROCAL,
  CK_SIN,
  CK_COS,
  CK_SOFTPLUS
} ck_unary_op;
/// y = f(x); y may be x.
void ck_unary(ck_unary_op op, const float *x, float *y, size_t count);
/// dx = dy · f′(x), from the input x (not the output); dx may be dy.
void ck_unary_gradient(ck_unary_op op, const float *x, const float *dy, float *dx, size_t count);
/// y = f(x), times `other` where that is not NULL. Both are kept, rounded to bfloat16, where there is a place for them.
void ck_gate(ck_unary_op op, const float *x, const float *other, float *y, uint16_t *kept_x, uint16_t *kept_other,
             size_t count);
/// dx = dy · other · f′(x) and dother = dy · f(x), either of which may be NULL, from x and `other`: bfloat16 where
/// `half`.
void ck_gate_gradient(ck_unary_op op, bool half, const void *x, const void *other, const float *dy, float *dx,
                      float *dother, size_t count);

typedef enum {
  CK_ADD,
  CK_SUBTRACT,
  CK_MULTIPLY,
  CK_DIVIDE,
  CK_MAXIMUM,
  CK_MINIMUM,
  CK_POWER,
  CK_POWER_BASE_SLOPE,
  CK_POWER_EXPONENT_SLOPE,  // aᵇ and its derivatives by a and by b
  CK_LESS,
  CK_LESS_OR_EQUAL,
  CK_EQUAL  // 1 where it holds, else 0
} ck_binary_op;
/// out = a op b over a shape of `rank` ≤ 8 axes; strides in elements, 0 where an operand is broadcast. out is dense
/// and may be a or b where that operand is dense.
void ck_binary(ck_binary_op op, int rank, const ptrdiff_t *shape, const float *a, const ptrdiff_t *stride_a,
               const float *b, const ptrdiff_t *stride_b, float *out);
/// y = scale · x + offset; y may be x.
void ck_affine(const float *x, float scale, float offset, float *y, size_t count);
/// y += scale · x
void ck_accumulate(const float *x, float scale, float *y, size_t count);
/// y[i, :] += bias
void ck_add_rows(const float *bias, float *y, ptrdiff_t rows, ptrdiff_t columns);

// MARK: Reductions over the middle axis of [outer, axis, inner].

typedef enum { CK_SUM, CK_MAX } ck_reduction;
void ck_reduce(ck_reduction op, const float *x, float *y, ptrdiff_t outer, ptrdiff_t axis, ptrdiff_t inner);
/// Index of the first largest element in each row.
void ck_argmax_rows(const float *x, int32_t *index, ptrdiff_t rows, ptrdiff_t columns);
double ck_sum_of_squares(const float *x, size_t count);
bool ck_all_finite(const float *x, size_t count);
/// How many are at least as far from 0 as `size`; infinity and NaN are.
size_t ck_count_from(const float *x, float size, size_t count);

// MARK: Moving elements.

/// out (dense, of `shape`) = the elements of x read with the given strides.
void ck_permute(int rank, const ptrdiff_t *shape, const float *x, const ptrdiff_t *strides, float *out);
/// out[i, :] = table[index[i], :]
void ck_gather_rows(const float *table, const int32_t *index, float *out, ptrdiff_t count, ptrdiff_t columns);
/// table[index[i], :] += x[i, :], in the order of i.
void ck_scatter_add_rows(const float *x, const int32_t *index, float *table, ptrdiff_t count, ptrdiff_t columns);

// MARK: Choosing elements.

/// out[i] = condition[i] ≠ 0 ? a[i] : b[i]
void ck_select(const float *condition, const float *a, const float *b, float *out, size_t count);
/// out[o, k, j] = x[o, index[o, k, j], j] for x [outer, axis, inner] and index and out [outer, taken, inner].
void ck_gather_axis(const float *x, const int32_t *index, float *out, ptrdiff_t outer, ptrdiff_t taken, ptrdiff_t axis,
                    ptrdiff_t inner);
/// dx[o, index[o, k, j], j] += dy[o, k, j] from zero, in the order of k.
void ck_gather_axis_gradient(const float *dy, const int32_t *index, float *dx, ptrdiff_t outer, ptrdiff_t taken,
                             ptrdiff_t axis, ptrdiff_t inner);

// MARK: Convolution and pooling over planes [images, channels, height, width].

/// The positions of a kernel along an axis: ⌊(length + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1, at least
/// 0.
ptrdiff_t ck_convolved_length(ptrdiff_t length, ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t padding,
                              ptrdiff_t dilation);

/// Cross-correlation with zeros around the input; weight [out_channels, in_channels / groups, kernel_height,
/// kernel_width]. Channels are in `groups` parts that know nothing of each other.
typedef struct {
  ptrdiff_t batch, in_channels, in_height, in_width, out_channels, kernel_height, kernel_width;
  ptrdiff_t stride, padding, dilation, groups;
} ck_convolution;
/// bias [out_channels] may be NULL.
void ck_convolve(const ck_convolution *convolution, const float *x, const float *weight, const float *bias, float *y);
void ck_convolve_input_gradient(const ck_convolution *convolution, const float *weight, const float *dy, float *dx);
void ck_convolve_weight_gradient(const ck_convolution *convolution, const float *x, const float *dy, float *dweight);

/// Windows of each of `planes` planes; padding ≤ half a window.
typedef struct {
  ptrdiff_t planes, height, width, window_height, window_width, stride, padding;
} ck_pooling;
/// place: where in its plane each output comes from, the first of equals. Padding takes no part.
void ck_max_pool(const ck_pooling *pooling, const float *x, float *y, int32_t *place);
void ck_max_pool_gradient(const ck_pooling *pooling, const int32_t *place, const float *dy, float *dx);
/// Means over whole windows: padding counts as zeros.
void ck_average_pool(const ck_pooling *pooling, const float *x, float *y);
void ck_average_pool_gradient(const ck_pooling *pooling, const float *dy, float *dx);

// MARK: Rows: softmax, normalisation, cross-entropy.

/// log_form: log-softmax. y may be x.
void ck_softmax_rows(bool log_form, const float *x, float *y, ptrdiff_t rows, ptrdiff_t columns);
/// dx from the output y: y·(dy − Σ y·dy), or dy − exp(y)·Σ dy in log form.
void ck_softmax_rows_gradient(bool log_form, const float *y, const float *dy, float *dx, ptrdiff_t rows,
                              ptrdiff_t columns);
/// losses[i] = logsumexp(x[i, :]) − x[i, target[i]], 0 where target[i] == ignore. Where `gradient` is not NULL,
/// gradient = softmax(x) − onehot(target), 0 in ignored rows.
void ck_cross_entropy_rows(const float *x, const int32_t *target, int32_t ignore, float *losses, float *gradient,
                           ptrdiff_t rows, ptrdiff_t columns);
/// y = (x − mean)·rstd·weight + bias (weight, bias may be NULL). mean, rstd: [rows], saved for the gradient.
void ck_layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *y, float *mean,
                   float *rstd, ptrdiff_t rows, ptrdiff_t columns);
/// Any of dx, dweight, dbias may be NULL.
void ck_layer_norm_gradient(const float *x, const float *weight, const float *mean, const float *rstd, const float *dy,
                            float *dx, float *dweight, float *dbias, ptrdiff_t rows, ptrdiff_t columns);
/// y = x·rstd·weight, rstd = 1/√(mean(x²) + ε).
void ck_rms_norm(const float *x, const float *weight, float epsilon, float *y, float *rstd, ptrdiff_t rows,
                 ptrdiff_t columns);
void ck_rms_norm_gradient(const float *x, const float *weight, const float *rstd, const float *dy, float *dx,
                          float *dweight, ptrdiff_t rows, ptrdiff_t columns);

// MARK: Attention of packed sequences.

/// What a query sees of its sequence's keys, and what becomes of its scores. The last query of a sequence stands at its
/// last key.
typedef struct ck_attention_rule {
  float scale;        // of q kᵀ
  bool causal;        // only keys up to the query's own place
  ptrdiff_t window;   // only keys less than this away, whereupon no sequence has more queries than keys; 0: all
  float cap;          // a score s becomes cap · tanh(s / cap); 0: it stays
  const float *bias;  // [heads, 2 · reach + 1], added to scaled scores by the distance key − query + reach; or NULL
  ptrdiff_t reach;    // at least the greatest distance
  bool rounds;        // factors of products are rounded to bfloat16; sums are float32
} ck_attention_rule;

/// Sequence i has the queries query_starts[i] ..< query_starts[i + 1] and the keys key_starts[i] ..< key_starts[i + 1];
/// both arrays hold sequences + 1 places. q and out are [queries, heads, size], k and v [keys, key_heads, size], and
/// each key head serves heads / key_heads query heads. out = softmax(scores) v. logsumexp [queries, heads] is what the
/// gradient needs, or NULL.
void ck_attention(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                  ptrdiff_t key_heads, ptrdiff_t size, const ck_attention_rule *rule, const float *q, const float *k,
                  const float *v, float *out, float *logsumexp);
/// Any of dq, dk, dv, dbias may be NULL. dbias [sequences, heads, 2 · reach + 1] is apart by sequence.
void ck_attention_gradient(const int32_t *query_starts, const int32_t *key_starts, ptrdiff_t sequences, ptrdiff_t heads,
                           ptrdiff_t key_heads, ptrdiff_t size, const ck_attention_rule *rule, const float *q,
                           const float *k, const float *v, const float *out, const float *logsumexp, const float *dout,
                           float *dq, float *dk, float *dv, float *dbias);
/// Rotates the pairs (d, d + turned/2) of every head's first `turned` elements by the angle of the token's position and
/// copies the rest; cosines and sines are [positions, turned/2]. `inverse` rotates back, which is the gradient. y may
/// be x.
void ck_rotary(const float *x, const int32_t *positions, const float *cosines, const float *sines, bool inverse,
               float *y, ptrdiff_t tokens, ptrdiff_t heads, ptrdiff_t size, ptrdiff_t turned);
/// x becomes cap · tanh(x / cap).
void ck_cap(float *x, float cap, size_t count);
/// slopes · (1 − (y / cap)²) for y = cap · tanh(x / cap), in place.
void ck_cap_slopes(const float *y, float cap, float *slopes, size_t count);

// MARK: Optimizers: one pass over weight, gradient and moments.

/// PyTorch's rules. decoupled: AdamW (weight ·= 1 − lr·decay), else decay is added to the gradient. `step` counts
/// from 1. gradient_scale multiplies the gradient first (clipping). False where a gradient is infinite or not a number,
/// and the weights with it.
bool ck_adam_step(float *weight, const float *gradient, float *m, float *v, size_t count, float learning_rate,
                  float beta1, float beta2, float epsilon, float decay, bool decoupled, int64_t step,
                  float gradient_scale);
/// velocity may be NULL (no momentum); PyTorch's rule with dampening 0. first_step: velocity = gradient.
bool ck_sgd_step(float *weight, const float *gradient, float *velocity, size_t count, float learning_rate,
                 float momentum, bool nesterov, float decay, bool first_step, float gradient_scale);

// MARK: Number formats. Narrowing rounds to nearest, ties to even; NaN stays NaN.

void ck_bf16_to_f32(const uint16_t *x, float *y, size_t count);
void ck_f32_to_bf16(const float *x, uint16_t *y, size_t count);
void ck_f16_to_f32(const uint16_t *x, float *y, size_t count);
void ck_f32_to_f16(const float *x, uint16_t *y, size_t count);
void ck_f64_to_f32(const double *x, float *y, size_t count);
void ck_f32_to_f64(const float *x, double *y, size_t count);
/// y = (x/255 − mean)/deviation
void ck_normalize_bytes(const uint8_t *x, float mean, float deviation, float *y, size_t count);

// MARK: Householder reflections: the memory-bound halves of QR and of the reduction to bidiagonal form.

/// H = 1 − τ v vᵀ with v₀ = 1 turns a column c of first element `first` and Σ c² = `squares` to β e₀;
/// v = (c − β e₀) · scale. Where nothing is to be done, or the column counts as zero (norm below 1e-30), τ = scale = 0.
void ck_reflector(float first, double squares, float *beta, float *tau, float *scale);

enum { CK_PANEL = 32 };
/// QR of the first `columns` ≤ min(rows, CK_PANEL) columns of a dense [rows, CK_PANEL] panel whose other columns are
/// zero: R replaces the upper triangle, the reflectors' vectors (without their leading 1) what is below it.
void ck_householder_panel(ptrdiff_t rows, int columns, float *panel, float *tau);

// The reduction of A to bidiagonal form by panels: A is left as it is while a panel is built, and stands for
// A − P Qᵀ. Columns 2i and 2i + 1 of P are v and x of step i, of Q they are y and u (LAPACK's xLABRD, interleaved).
// `active` is the number of columns of P and Q in use, rounded up to a multiple of 16; the rest of them is zero.
enum { CK_BIDIAGONAL_CHUNKS = 16 };

/// Over all rows below the pivot's: finish v, then x = τ (A − P Qᵀ) u, the next column c of A − P Qᵀ, and Aᵀc, Pᵀc,
/// Σ c² for the next reflector.
typedef struct {
  ptrdiff_t rows, columns;  // columns: a multiple of 16
  const float *a;
  ptrdiff_t lda;
  float *p;
  ptrdiff_t ldp, active;
  ptrdiff_t v_column;  // of P; x goes to the column after it
  float v_scale;       // v = c · v_scale, from the c of before
  float *c;            // [rows]
  const float *u;      // [columns]
  float tau;
  const float *p_times_u;     // [ldp]: Qᵀu
  const float *p_times_next;  // [ldp]: the row of Q of the next column
  ptrdiff_t next_column;      // of a; u is 1 there
  // Sums of each chunk of rows: [CK_BIDIAGONAL_CHUNKS, sums_stride], [CK_BIDIAGONAL_CHUNKS, ldp] and
  // [CK_BIDIAGONAL_CHUNKS].
  float *sums;
  ptrdiff_t sums_stride;
  float *p_sums;
  double *squares;
} ck_bidiagonal_rows;
/// Returns the number of chunks.
int ck_bidiagonal_sweep_rows(const ck_bidiagonal_rows *sweep);

/// Over all columns right of the pivot's: y = τ (A − P Qᵀ)ᵀ v from Aᵀc, then the pivot's row r of
/// A − P Qᵀ − v yᵀ, and Qᵀr, Σ r² for its reflector.
typedef struct {
  ptrdiff_t columns;
  const float *row;  // [columns]: the pivot's row of A
  float *q;
  ptrdiff_t ldq, active;
  ptrdiff_t y_column;  // of Q
  float beta, scale, tau;
  const float *q_times_v;    // [ldq]: Pᵀv
  const float *q_times_row;  // [ldq]: the pivot's row of P, without v
  const float *sums;         // Aᵀc in `sums_count` parts
  ptrdiff_t sums_stride;
  int sums_count;
  float *r;  // [columns]
  // Sums of each chunk of columns: [CK_BIDIAGONAL_CHUNKS, ldq] and [CK_BIDIAGONAL_CHUNKS].
  float *q_sums;
  double *squares;
} ck_bidiagonal_columns;
/// Returns the number of chunks.
int ck_bidiagonal_sweep_columns(const ck_bidiagonal_columns *sweep);

/// Has two files or directories of one file system change places in one step. False where the system can't (errno).
bool ck_exchange_paths(const char *one, const char *other);

/// Copies bytes of one open file to another's place within the system; says how many it did, from the first on, which
/// may be none.
ptrdiff_t ck_copy_file_bytes(int from, ptrdiff_t from_offset, int to, ptrdiff_t to_offset, ptrdiff_t count);

/// Whether something is mounted on a directory, as far as the system says so.
bool ck_is_mount_point(const char *path);

#ifdef __cplusplus
}
#endif

#endif
