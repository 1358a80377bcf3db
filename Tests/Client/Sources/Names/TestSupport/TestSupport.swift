/// Something of the guest, under a name of ours.
public enum TestSupportOfGuest {
  public static let name = "TestSupport"
}
