import CNotebook
import Foundation

/// `!command`: runs it in the shell, and tells a status other than 0.
public func _notebookShell(_ command: String) {
  fflush(nil)
  let words: [String] = ["sh", "-c", command]
  var arguments = words.map { strdup($0) } + [nil]
  defer { for argument in arguments { free(argument) } }
  let process = notebook_spawn("/bin/sh", &arguments, STDOUT_FILENO)
  var status: Int32 = 0
  while process > 0, waitpid(process, &status, 0) < 0, errno == EINTR {}
  let code = process > 0 ? (status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)) : 127
  guard code != 0 else { return }
  let hint = code == 127 ? "; Swift's own `!` at the start of a line belongs in parentheses" : ""
  print("[exit status \(code)\(hint)]")
}
