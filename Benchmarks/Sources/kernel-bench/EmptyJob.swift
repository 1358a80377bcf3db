import CKernels

/// In a file of its own: what stands in main.swift belongs to the main actor, and a part may run on any thread.
func dispatchEmptyJob() { ck_parallel(2, { _, _ in }, nil) }
