// OpenBLAS's products of matrices, which kernel-bench compares with.
#include <cblas.h>
