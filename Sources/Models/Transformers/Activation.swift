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

  func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .gelu, .geluPython: x.gelu()
    case .geluNew, .geluFast, .geluAccurate, .geluTanh, .geluTanhPython: x.geluTanh()
    case .quickGelu: x * (x * 1.702).sigmoid()
    case .relu: x.relu()
    case .squaredRelu: x.relu().squared()
    case .silu, .swish: x.silu()
    case .mish: x * x.softplus().tanh()
    case .sigmoid: x.sigmoid()
    case .tanh: x.tanh()
    case .linear: x
    }
  }
}
