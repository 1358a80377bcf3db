// LAPACK and BLAS through the platform's OpenBLAS. Debian's build has no LAPACKE, so the Fortran
// symbols that are used are declared where they are needed, in this one file.
#include <cblas.h>
