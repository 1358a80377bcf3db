// A mirror on 127.0.0.1 that answers as a test tells it to, so that broken servers can be tested too.
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

final class MirrorServer: Sendable {
  struct Answer: Sendable {
    var status = 200
    var headers: [String] = []
    var body: [UInt8] = []
    /// Closes the connection after so many bytes of the body.
    var cutAfter: Int?
    /// Sends the body one byte at a time, with so many seconds between.
    var drip: TimeInterval?
  }

  let url: URL
  private let socket: Int32
  private let log = Log()

  /// What was asked for, in order: "/name" or "/name from 123".
  var requests: [String] { log.entries }

  /// - Parameter answer: from the path and the first byte asked for (0 without a range).
  init(_ answer: @escaping @Sendable (_ path: String, _ start: Int) -> Answer) throws {
    #if canImport(Glibc)
      let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let descriptor = Darwin.socket(AF_INET, SOCK_STREAM, 0)
    #endif
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> UInt16 in
        guard bind(descriptor, generic, length) == 0, listen(descriptor, 16) == 0 else { return 0 }
        getsockname(descriptor, generic, &length)
        return UInt16(bigEndian: pointer.pointee.sin_port)
      }
    }
    guard port != 0 else { throw POSIXError(.EADDRNOTAVAIL) }
    socket = descriptor
    url = URL(string: "http://127.0.0.1:\(port)/mnist/")!
    let log = log
    Thread.detachNewThread {
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        MirrorServer.serve(connection, answer, log)
        close(connection)
      }
    }
  }

  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    close(socket)
  }

  /// A well-behaved server of one content, with ranges.
  static func serving(_ content: [UInt8]) throws -> MirrorServer {
    try MirrorServer { _, start in
      guard start < content.count else { return Answer(status: 416) }
      guard start > 0 else { return Answer(body: content) }
      return Answer(
        status: 206, headers: ["Content-Range: bytes \(start)-\(content.count - 1)/\(content.count)"],
        body: Array(content[start...]))
    }
  }

  private static func serve(
    _ connection: Int32, _ answer: @Sendable (String, Int) -> Answer, _ log: Log
  ) {
    var request: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
      let count = recv(connection, &buffer, buffer.count, 0)
      guard count > 0 else { return }
      request += buffer[..<count]
    }
    let lines = String(decoding: request, as: UTF8.self).components(separatedBy: "\r\n")
    let path = lines[0].components(separatedBy: " ")[1]
    let range = lines.first { $0.lowercased().hasPrefix("range: bytes=") }
    let start = range.flatMap { Int($0.dropFirst("range: bytes=".count).prefix { $0.isNumber }) } ?? 0
    log.append(start > 0 ? "\(path) from \(start)" : path)
    let reply = answer(path, start)
    let head =
      ["HTTP/1.1 \(reply.status) Answer", "Content-Length: \(reply.body.count)", "Connection: close"] + reply.headers
    send(connection, Array((head.joined(separator: "\r\n") + "\r\n\r\n").utf8))
    let body = Array(reply.body.prefix(reply.cutAfter ?? reply.body.count))
    guard let drip = reply.drip else {
      _ = send(connection, body)
      return
    }
    for byte in body {
      guard send(connection, [byte]) else { return }
      Thread.sleep(forTimeInterval: drip)
    }
  }

  /// Whether they could be sent.
  @discardableResult
  private static func send(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      #if canImport(Glibc)
        let flags = Int32(MSG_NOSIGNAL)
      #else
        let flags: Int32 = 0
      #endif
      let count = bytes[sent...].withUnsafeBytes { systemSend(connection, $0.baseAddress!, $0.count, flags) }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  private final class Log: @unchecked Sendable {
    private let lock = NSLock()
    private var stored: [String] = []
    var entries: [String] { lock.withLock { stored } }
    func append(_ entry: String) { lock.withLock { stored.append(entry) } }
  }
}

/// The system's `send`, which the method of that name hides.
private func systemSend(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int, _ flags: Int32) -> Int {
  send(socket, bytes, count, flags)
}
