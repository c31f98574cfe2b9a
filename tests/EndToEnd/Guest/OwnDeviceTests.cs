using Paravane.Peers;

namespace Paravane.EndToEnd.Guest;

/// <summary>The device of docs/own-device.md, made from the two libraries alone, in a stock guest.</summary>
public sealed class OwnDeviceTests
{
    [Theory, InlineData(false), InlineData(true)]
    public void An_entropy_device_made_from_the_two_libraries_feeds_the_hwrng_of_a_stock_guest(bool packed)
    {
        using var scratch = TemporaryDirectory.Create();
        string program = Path.Combine(Programs.RepositoryRoot, "artifacts/bin/OwnDevice/debug/own-device");
        using ChildProcess server = BackEnd.Start(program, scratch.File("rng"));
        using QemuGuest guest = new(scratch, QemuDevice.Entropy(0, scratch.File("rng"), packed));

        Assert.StartsWith("virtio_rng", guest.Run("cat /sys/class/misc/hw_random/rng_current"));
        string first = guest.Run("dd if=/dev/hwrng bs=32 count=64 iflag=fullblock 2>/dev/null | xxd -p -c 32");
        string[] lines = first.Split('\n');
        Assert.Equal(64, lines.Length);
        Assert.Distinct(lines);
        Assert.DoesNotContain(new string('0', 64), lines);
        Assert.False(server.HasExited, server.Transcript);
    }
}
