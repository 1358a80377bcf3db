/// Adam (Kingma and Ba, 2015) for one array of parameters, with PyTorch's rule and defaults.
struct Adam {
  private var m: [Float]
  private var v: [Float]
  private var power1 = 1.0  // β₁ and β₂ to the power of the steps so far
  private var power2 = 1.0

  init(count: Int) {
    m = [Float](repeating: 0, count: count)
    v = m
  }

  mutating func update(_ weight: inout [Float], _ gradient: [Float], rate: Float) {
    let (beta1, beta2): (Float, Float) = (0.9, 0.999)
    power1 *= Double(beta1)
    power2 *= Double(beta2)
    let stepSize = Float(Double(rate) / (1 - power1))
    let rootScale = Float(1 / (1 - power2).squareRoot())
    let count = weight.count
    weight.withUnsafeMutableBufferPointer { weight in
      m.withUnsafeMutableBufferPointer { m in
        v.withUnsafeMutableBufferPointer { v in
          for i in 0..<count {
            m[i] = beta1 * m[i] + (1 - beta1) * gradient[i]
            v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i]
            weight[i] -= stepSize * m[i] / (v[i].squareRoot() * rootScale + 1e-8)
          }
        }
      }
    }
  }
}
