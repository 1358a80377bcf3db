import LoRATensors

/// A non-linearity, under the names that configurations use.
enum Activation: String, CaseIterable {
  case gelu
  case geluPython = "gelu_python"
  case geluNew = "gelu_new"
  case geluFast = "gelu_fast"
  case geluAccurate = "gelu_accurate"
  case geluTanh = "gelu_pytorch_tanh"
  case geluTanhPython = "gelu_python_tanh"
  case quickGelu = "quick_gelu"
  case relu
  case squaredRelu = "relu2"
  case silu
  case swish
  case mish
  case sigmoid
  case tanh
  case linear

  /// f(x), times a gate of the same shape where there is one.
  /// - Parameter kept: what is kept for the gradient (`Tensor.activated`).
  func callAsFunction(_ x: Tensor, gate: Tensor? = nil, kept: Precision = .float32) -> Tensor {
    func activated(_ f: Nonlinearity) -> Tensor { x.activated(by: f, gate: gate, kept: kept) }
    func gated(_ value: Tensor) -> Tensor { gate.map { value * $0 } ?? value }
    return switch self {
    case .gelu, .geluPython: activated(.gelu)
    case .geluNew, .geluFast, .geluAccurate, .geluTanh, .geluTanhPython: activated(.geluTanh)
    case .relu: activated(.relu)
    case .silu, .swish: activated(.silu)
    case .sigmoid: activated(.sigmoid)
    case .tanh: activated(.tanh)
    case .quickGelu: gated(x * (x * 1.702).sigmoid())
    case .squaredRelu: gated(x.relu().squared())
    case .mish: gated(x * x.softplus().tanh())
    case .linear: gated(x)
    }
  }
}
