import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What `strftime_now` tells: a moment, in a time zone.
struct TemplateClock: Sendable {
  let date: Date
  let timeZone: TimeZone

  /// `datetime.now().strftime(format)`, in English; nil where the format makes more than a few thousand bytes.
  func text(_ format: String) -> String? {
    guard format.utf8.count <= 1000 else { return nil }
    var seconds = time_t(date.timeIntervalSince1970.rounded(.down)) + timeZone.secondsFromGMT(for: date)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    // Python's time knows no zone here, and so gives an empty text; and its microseconds are its own.
    let micros = Int((date.timeIntervalSince1970 - date.timeIntervalSince1970.rounded(.down)) * 1e6)
    let digits = String(micros)
    let plain = format.pythonReplacing("%Z", with: "", most: -1).pythonReplacing("%z", with: "", most: -1)
      .pythonReplacing("%f", with: String(repeating: "0", count: 6 - digits.count) + digits, most: -1)
    guard !plain.isEmpty else { return "" }
    var buffer = [CChar](repeating: 0, count: 8192)
    let count = strftime(&buffer, buffer.count, plain, &parts)
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
