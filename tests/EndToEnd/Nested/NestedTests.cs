using Paravane.Peers;

namespace Paravane.EndToEnd.Nested;

/// <summary>Debian's stock kernel as a guest of <c>paravane run</c>, on a real KVM that itself runs in an emulated machine.</summary>
public sealed class NestedTests
{
    [Fact]
    public void A_stock_kernel_with_two_processors_a_disk_and_a_nic_boots_works_restarts_and_switches_off()
    {
        using var scratch = TemporaryDirectory.Create();
        using NestedHost host = new(scratch);
        host.Run("dd if=/dev/urandom of=/tmp/image bs=1024k count=16 2>/dev/null; /tools/ip tuntap add dev vm0 mode tap multi_queue vnet_hdr; ip address add 10.0.0.1/24 dev vm0; ip link set vm0 up");
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --cpus=2 --disk=path=/tmp/image --net=tap:vm0");
        for (int life = 0; life < 2; life++)
        {
            Assert.Equal("2", vm.Run("nproc"));
            Assert.StartsWith(host.Run("sha256sum < /tmp/image")[..64], vm.Run("sha256sum < /dev/vda"));
            vm.Run($"dd if=/dev/urandom of=/dev/vda bs=64k count=32 seek={life * 32} conv=notrunc,fsync 2>/dev/null");
            Assert.StartsWith(host.Run("sha256sum < /tmp/image")[..64], vm.Run("sha256sum < /dev/vda"));
            vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.1");
            host.Run("ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.2");
            if (life == 0)
            {
                vm.Reboot();
            }
        }

        vm.PowerOff();
    }
}
