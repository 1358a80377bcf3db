# For a tap: `brew install OWNER/tap/swift-lora`. Whoever releases sets OWNER, the version, and the hash of its source.
class SwiftLora < Formula
  desc "Low-rank adaptation of neural networks: a library, a command-line tool, notebooks"
  homepage "https://github.com/OWNER/swift-lora"
  url "https://github.com/OWNER/swift-lora/archive/refs/tags/v0.0.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"

  depends_on "pkgconf" => :build
  depends_on xcode: ["16.3", :build]
  depends_on "jpeg-turbo"
  depends_on "libpng"
  depends_on macos: :sonoma
  depends_on "webp"

  uses_from_macos "zlib"

  on_linux do
    depends_on "swift" => :build
    depends_on "openblas"
  end

  def install
    flags = ["--disable-sandbox"]
    # Swift is there to build alone; on macOS its runtime is the system's.
    flags << "--static-swift-stdlib" if OS.linux?
    system "make", "install", "PREFIX=#{prefix}", "SWIFTFLAGS=#{flags.join(" ")}"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/lora --version")
    system bin/"lora", "svd", "--demo", "--quiet"
  end
end
