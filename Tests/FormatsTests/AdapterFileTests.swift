import LoRAAdapters
import LoRAFormats
import MethodCases
import TestSupport
import Testing

@Suite("Methods in one file")
struct AdapterFileTests {
  @Test(
    "written to one file, flat or with dots, a method does the same as before; what no file holds is named",
    arguments: MethodCase.all, [StoredAdapter.Format.kohya, .file])
  func filed(_ item: MethodCase, _ format: StoredAdapter.Format) throws {
    let folder = try TemporaryFolder()
    let method = try item.method()
    let adapter = StoredAdapter(
      format: format, url: folder.url, configuration: PEFTConfiguration(),
      modules: [StoredModule(path: format == .file ? "model.module" : "lora_unet_module", method: method)])
    let lost = AdapterFile.losses(adapter).lost
    let scalesWholes = method.rank == 0 && method.scale != 1 && item.parts.tensors.keys.allSatisfy { !$0.isForeign }
    #expect(lost.isEmpty == !(method.isPEFTOnly || scalesWholes))
    guard lost.isEmpty else { return }
    try AdapterFile.write(adapter, to: folder.file("a.safetensors"))
    let module = try #require(try StoredAdapter(contentsOf: folder.file("a.safetensors")).modules.first)
    #expect(abs(module.scale - method.scale) <= 1e-6 * abs(method.scale))
    let rows = item.weight.shape[0]
    let result = try worked(module.method, item.weight, isTransposed: item.isTransposed, rows: rows)
    #expect(relativeDifference(result, item.merged) < 1e-6)
    let bias = try item.bias.map { try module.method.bias($0) ?? $0 }
    #expect(bias.map { relativeDifference($0, item.mergedBias!) < 1e-6 } ?? true)
  }
}
