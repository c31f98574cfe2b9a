using Paravane.EndToEnd.Disk;
using Paravane.EndToEnd.Network;
using Paravane.Peers;

namespace Paravane.EndToEnd.Guest;

/// <summary>A guest restarts while its back-ends go on.</summary>
public sealed class GuestRebootTests
{
    [Theory, InlineData(false), InlineData(true)]
    public void Back_ends_serve_a_guest_again_and_again_after_it_rebooted(bool packed)
    {
        using var scratch = TemporaryDirectory.Create();
        using NetworkNamespace host = new();
        var image = DiskImage.CreateRandom(scratch.File("image"), 8 << 20);
        using ChildProcess disk = BackEnd.Start(Programs.Block, scratch.File("disk"), $"--blk-file={image.Location}", "--num-queues=2");
        using ChildProcess nic = BackEnd.StartIn(host, Programs.Net, scratch.File("nic"), "--net=tap:pv0", "--queue-pairs=2");
        host.Run("ip address add 10.0.0.1/24 dev pv0; ip link set pv0 up");
        using QemuGuest guest = new(scratch, [
            .. QemuDevice.Disk(0, scratch.File("disk"), queues: 2, packed), .. QemuDevice.Nic(1, scratch.File("nic"), queuePairs: 2, packed)]);

        for (int life = 0; life < 3; life++)
        {
            string device = guest.Run($"ls {QemuDevice.Sysfs(0)}/block");
            string link = guest.Run($"ls {QemuDevice.Sysfs(1)}/net");
            // What the guest wrote in its last life is there, on the disk and in the image; then it writes something new.
            Assert.StartsWith(image.Checksum(), guest.Run($"sha256sum /dev/{device}"));
            guest.Run($"dd if=/dev/urandom of=/dev/{device} bs=64k count=32 seek={life * 32} conv=notrunc,fsync 2>/dev/null");
            Assert.StartsWith(image.Checksum(), guest.Run($"sha256sum /dev/{device}"));
            guest.Run($"ip address add 10.0.0.2/24 dev {link}; ip link set {link} up; ping -q -c 3 -i 0.2 -W 5 -s 8000 10.0.0.1");
            host.Run("busybox ping -q -c 3 -i 0.2 -W 5 -s 8000 10.0.0.2");
            if (life < 2)
            {
                guest.Reboot();
            }
        }

        guest.PowerOff();
        Assert.False(disk.HasExited, disk.Transcript);
        Assert.False(nic.HasExited, nic.Transcript);
    }

    [Theory, InlineData(false), InlineData(true)]
    public void One_back_end_serves_one_virtual_machine_after_another(bool packed)
    {
        using var scratch = TemporaryDirectory.Create();
        var image = DiskImage.CreateRandom(scratch.File("image"), 8 << 20);
        using ChildProcess disk = BackEnd.Start(Programs.Block, scratch.File("disk"), $"--blk-file={image.Location}");
        for (int machine = 0; machine < 2; machine++)
        {
            using QemuGuest guest = new(scratch, QemuDevice.Disk(0, scratch.File("disk"), queues: 1, packed));
            Assert.StartsWith(image.Checksum(), guest.Run("sha256sum /dev/vda"));
            guest.Run("dd if=/dev/urandom of=/dev/vda bs=64k count=16 conv=notrunc,fsync 2>/dev/null");
            Assert.StartsWith(image.Checksum(), guest.Run("sha256sum /dev/vda"));
            // Dispose ends QEMU while the guest runs.
        }

        Assert.False(disk.HasExited, disk.Transcript);
    }
}
