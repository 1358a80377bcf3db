// LAPACK through the platform's library: OpenBLAS on Linux, Accelerate on Apple platforms.
//
// Neither offers LAPACKE everywhere, so the few Fortran routines that are used are declared here. Matrices are
// column-major: a row-major [m, n] tensor is passed as its transpose, an n×m matrix with leading dimension n.
#ifndef COPENBLAS_SHIM_H
#define COPENBLAS_SHIM_H

#if defined(__APPLE__)
// The symbols behind ACCELERATE_NEW_LAPACK (macOS 13.3), 32-bit integers. That macro can't reach a framework which
// is imported as a module, so the names are bound here.
#define LAPACK_ROUTINE(name) __asm("_" #name "$NEWLAPACK")
#else
#define LAPACK_ROUTINE(name) __asm(#name "_")
void openblas_set_num_threads(int count);
#endif

/// Singular value decomposition, QR iteration: slower than divide and conquer, and converges where that does
/// not. jobs: 'A' full, 'S' thin, 'N' values only.
void lapack_sgesvd(const char *job_u, const char *job_vt, const int *m, const int *n, float *a, const int *lda,
                   float *s, float *u, const int *ldu, float *vt, const int *ldvt, float *work, const int *lwork,
                   int *info) LAPACK_ROUTINE(sgesvd);

/// The singular value decomposition of a bidiagonal matrix, divide and conquer.
void lapack_sbdsdc(const char *upper_or_lower, const char *vectors, const int *n, float *diagonal,
                   float *off_diagonal, float *u, const int *ldu, float *vt, const int *ldvt, float *q, int *iq,
                   float *work, int *iwork, int *info) LAPACK_ROUTINE(sbdsdc);

/// The LU factorisation with partial pivoting of a matrix, in its place; info > 0: a pivot is zero.
void lapack_sgetrf(const int *m, const int *n, float *a, const int *lda, int *pivots, int *info)
    LAPACK_ROUTINE(sgetrf);

/// Solves op(A) X = B from that factorisation, in the place of B; op: 'N' or 'T'.
void lapack_sgetrs(const char *op, const int *n, const int *columns, const float *a, const int *lda, const int *pivots,
                   float *b, const int *ldb, int *info) LAPACK_ROUTINE(sgetrs);

/// An estimate of 1 / (‖A‖ ‖A⁻¹‖) from it, in the norm '1' or 'I' in which ‖A‖ is given.
void lapack_sgecon(const char *norm, const int *n, const float *a, const int *lda, const float *a_norm,
                   float *reciprocal_condition, float *work, int *iwork, int *info) LAPACK_ROUTINE(sgecon);

#endif
