/// Something of the guest, under a name of ours.
public enum CKernelsOfGuest {
  public static let name = "CKernels"
}
