/// Something of the guest, under a name of ours.
public enum CPNGOfGuest {
  public static let name = "CPNG"
}
