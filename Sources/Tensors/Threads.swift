import LoRACKernels

/// The threads that tensor operations run on, one pool for the process.
public enum Threads {
  /// How many are used, at least 1; the processors this process may run on, unless changed. Results do not depend on
  /// it, bit for bit.
  public static var count: Int {
    get { Int(ck_thread_count()) }
    set {
      expect(newValue >= 1, "Threads.count: \(newValue)")
      ck_set_thread_count(Int32(newValue))
    }
  }
}
