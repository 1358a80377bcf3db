// Takes back the parameters of gemm_kernels_template.h, for its next inclusion. No include guard, as there.
#undef LANES
#undef LOW
#undef HIGH
#undef LOAD_PART
#undef NAME
#undef SET_NAME
#undef TILE_ROWS
#undef SUMS
#undef FOR_TILE_ROWS
#undef FOR_HALF_TILE_ROWS
