// The end of an instruction set: the parameters are taken back, for the next.
#undef LANES
#undef LOW
#undef HIGH
#undef LOAD_PART
#undef NAME
#undef TILE_ROWS
#undef SUMS
#undef FOR_TILE_ROWS
#undef FOR_HALF_TILE_ROWS
#undef PAIR_SUM
#undef ROUND_PAIRS
