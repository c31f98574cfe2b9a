
namespace Paravane.Peers;

/// <summary>A whole host in software emulation, with a KVM of its own: QEMU's emulated AMD processor has SVM with nested paging.</summary>
/// <remarks>
/// So that virtual machines of <c>paravane run</c> boot a stock kernel wherever tests run, whatever the machine's own /dev/kvm can do. The host has
/// Paravane's programs in /tools, and in /inner what its guests boot: Debian's kernel and the usual initramfs.
/// </remarks>
public sealed class NestedHost : IDisposable
{
    private static readonly Lazy<string> s_image = new(() => GuestImage.With(
        ["kvm_amd", "tun"],
        [Programs.Paravane, Programs.Block, Programs.Net, Tool.Find("ip")],
        new Dictionary<string, string>
        {
            ["inner/vmlinuz"] = GuestKernel.Find().Image,
            ["inner/initramfs"] = GuestImage.Location,
        }));

    private readonly QemuGuest _machine;

    /// <summary>Boots a host of two CPUs and 2 GiB.</summary>
    public NestedHost(TemporaryDirectory scratch)
    {
        _machine = QemuGuest.Boot(scratch, ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-M", "q35", "-m", "2G"], s_image.Value);
    }

    /// <summary>Runs a shell script on the host; any exit code but 0 fails the test. Returns what it printed.</summary>
    public string Run(string script, int limitSeconds = 120) => _machine.Run(script, limitSeconds);

    /// <inheritdoc/>
    public void Dispose() => _machine.Dispose();
}
