using Paravane.EndToEnd.Disk;
using Paravane.EndToEnd.Network;
using Paravane.Peers;

namespace Paravane.EndToEnd.Guest;

/// <summary>QEMU stops a guest in the middle of its work and lets it go on, as for a snapshot: rings stop where they are and go on there.</summary>
public sealed class GuestStopTests
{
    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public void A_guest_that_is_stopped_and_goes_on_loses_neither_disk_nor_link(int queues, bool packed)
    {
        using var scratch = TemporaryDirectory.Create();
        using NetworkNamespace host = new();
        var image = DiskImage.CreateRandom(scratch.File("image"), 8 << 20);
        using ChildProcess disk = BackEnd.Start(Programs.Block, scratch.File("disk"), $"--blk-file={image.Location}", $"--num-queues={queues}");
        using ChildProcess nic = BackEnd.StartIn(host, Programs.Net, scratch.File("nic"), "--net=tap:pv0", $"--queue-pairs={queues}");
        host.Run("ip address add 10.0.0.1/24 dev pv0; ip link set pv0 up");

        // With one pair offloads are off as DPDK's guides say, which leaves segmentation offered without its checksum feature.
        string offloads = queues == 1 ? ",csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off" : string.Empty;
        using QemuGuest guest = new(scratch, [
            .. QemuDevice.Disk(0, scratch.File("disk"), queues, packed), .. QemuDevice.Nic(1, scratch.File("nic"), queues, packed, offloads)]);
        string device = guest.Run($"ls {QemuDevice.Sysfs(0)}/block");
        string link = guest.Run($"ls {QemuDevice.Sysfs(1)}/net");
        guest.Run($"ip address add 10.0.0.2/24 dev {link}; ip link set {link} up");
        for (int stop = 0; stop < 3; stop++)
        {
            // More frames than the rings have descriptors, so that a ring that starts anew is not where the driver is.
            guest.Run("ping -q -c 400 -i 0.002 -W 5 10.0.0.1 >/dev/null");
            guest.Run($"(dd if=/dev/urandom of=/dev/{device} bs=64k count=64 conv=notrunc,fsync 2>/dev/null; echo $? >/tmp/written) & "
                + "(ping -q -c 100 -i 0.02 -W 20 10.0.0.1 >/tmp/answers; echo $? >/tmp/pinged) &");
            guest.Stop();
            Thread.Sleep(200); // standing still, for longer than anything in flight takes
            guest.Continue();
            Assert.Equal("0", guest.Run("while [ ! -e /tmp/written ] || [ ! -e /tmp/pinged ]; do sleep 0.1; done; cat /tmp/written; rm /tmp/written"));
            Assert.Contains("100 packets transmitted", guest.Run("cat /tmp/answers"), StringComparison.Ordinal);
            Assert.Equal("0", guest.Run("cat /tmp/pinged; rm /tmp/pinged"));
            guest.Run("ping -q -c 5 -i 0.2 -W 5 -s 8000 10.0.0.1");
            host.Run("busybox ping -q -c 5 -i 0.2 -W 5 -s 8000 10.0.0.2");
            Assert.StartsWith(image.Checksum(), guest.Run($"sha256sum /dev/{device}"));
        }

        guest.PowerOff();
        Assert.False(disk.HasExited, disk.Transcript);
        Assert.DoesNotContain("broken", disk.Transcript + nic.Transcript, StringComparison.Ordinal);
    }
}
