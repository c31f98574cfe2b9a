namespace Paravane.EndToEnd.Guest;

/// <summary>QEMU's options that attach a back-end to a guest, and where the guest finds the device then.</summary>
public static class QemuDevice
{
    private const int FirstSlot = 0x10;   // on the PCI bus; lower ones hold the machine's own devices

    /// <summary>A disk. With <paramref name="reconnectSeconds"/> QEMU looks for its back-end again that often, and keeps requests in flight meanwhile.</summary>
    public static string[] Disk(int slot, string socketPath, int queues, bool packed, int reconnectSeconds = 0) =>
    [
        "-chardev", $"socket,id=c{slot},path={socketPath}{(reconnectSeconds == 0 ? string.Empty : $",reconnect={reconnectSeconds}")}",
        "-device", $"vhost-user-blk-pci,chardev=c{slot},addr={FirstSlot + slot:x},num-queues={queues},packed={OnOff(packed)}",
    ];

    /// <summary>A NIC.</summary>
    /// <remarks>
    /// Without MSI-X: in software emulation QEMU 7.2 follows a null pointer when a guest enables MSI-X for a vhost-user NIC
    /// (kvm_virtio_pci_irqfd_use without an irqfd table). Queues and notifications to the back-end are the same; the guest's interrupt is a line.
    /// </remarks>
    public static string[] Nic(int slot, string socketPath, int queuePairs, bool packed, string properties = "") =>
    [
        "-chardev", $"socket,id=c{slot},path={socketPath}",
        "-netdev", $"vhost-user,id=n{slot},chardev=c{slot},queues={queuePairs}",
        "-device", $"virtio-net-pci,netdev=n{slot},addr={FirstSlot + slot:x},romfile=,vectors=0,packed={OnOff(packed)}" + (queuePairs > 1 ? ",mq=on" : "") + properties,
    ];

    /// <summary>An entropy device.</summary>
    public static string[] Entropy(int slot, string socketPath, bool packed) =>
    [
        "-chardev", $"socket,id=c{slot},path={socketPath}",
        "-device", $"vhost-user-rng-pci,chardev=c{slot},addr={FirstSlot + slot:x},packed={OnOff(packed)}",
    ];

    /// <summary>The device's directory in the guest's sysfs, as a shell pattern.</summary>
    public static string Sysfs(int slot) => $"/sys/bus/pci/devices/0000:00:{FirstSlot + slot:x2}.0/virtio*";

    private static string OnOff(bool value) => value ? "on" : "off";
}
