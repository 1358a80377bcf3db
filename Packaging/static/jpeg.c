// Pictures are only read: what libjpeg-turbo's interface would call to write them ends the program, and the encoders
// behind it are not linked.
#include <stdlib.h>

void jpeg_start_compress(void) { abort(); }
void jpeg_write_scanlines(void) { abort(); }
void jpeg_write_raw_data(void) { abort(); }
void jpeg_write_coefficients(void) { abort(); }
void jpeg_copy_critical_parameters(void) { abort(); }
