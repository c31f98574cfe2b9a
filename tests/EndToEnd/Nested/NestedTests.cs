using System.Globalization;
using System.Text.Json;
using Paravane.Peers;

namespace Paravane.EndToEnd.Nested;

/// <summary>Debian's stock kernel as a guest of <c>paravane run</c>, on a real KVM that itself runs in an emulated machine.</summary>
public sealed class NestedTests
{
    private const string MakeTap = "/tools/ip tuntap add dev vm0 mode tap multi_queue vnet_hdr; ip address add 10.0.0.1/24 dev vm0; ip link set vm0 up";

    [Fact]
    public void A_stock_kernel_boots_works_and_restarts_while_its_workers_live_and_die() => EmulatedHost.Try(host =>
    {
        host.Run($"""
            dd if=/dev/urandom of=/tmp/image bs=1024k count=16 2>/dev/null
            mkdir /tmp/root; cd /tmp/root; cpio -idm < /inner/initramfs 2>/dev/null; cd /
            /tools/mke2fs -q -t ext4 -d /tmp/root /tmp/root.img 48M; rm -r /tmp/root
            {MakeTap}
            """);
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --cpus=2 --disk=path=/tmp/root.img --disk=path=/tmp/image --net=tap:vm0", "root=/dev/vda rw");
        for (int life = 0; life < 2; life++)
        {
            Assert.Equal("2", vm.Run("nproc"));
            Assert.StartsWith("/dev/vda / ext4 rw", vm.Run("grep ' / ' /proc/mounts"), StringComparison.Ordinal);
            vm.Run($"[ {life} = 0 ] || (cd /kept; sha256sum -c sums); mkdir -p /kept; cd /kept; dd if=/dev/urandom of=file{life} bs=64k count=16 2>/dev/null; sha256sum file* > sums; sync");
            AssertSameDisk(host, vm, "vdb");
            vm.Run($"dd if=/dev/urandom of=/dev/vdb bs=64k count=32 seek={life * 32} conv=notrunc,fsync 2>/dev/null");
            AssertSameDisk(host, vm, "vdb");
            vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.1");
            host.Run("ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.2");
            if (life == 0)
            {
                vm.Reboot();
            }
        }

        // The guest writes and reads back while the workers of its disks are killed again and again: slow, but right, and without an error.
        vm.Run("(for i in 1 2 3 4 5 6; do dd if=/dev/urandom of=/dev/vdb bs=4k count=256 seek=$((i * 256)) oflag=direct conv=notrunc 2>/dev/null || echo failed; done; echo end) > /tmp/writer &");
        for (int i = 1; i <= 3; i++)
        {
            host.Run("sleep 0.5; kill -9 $(pidof paravane-blk)");
            WaitForRestarts(vm, [i, i, 0]);
        }

        Assert.Equal("end", vm.Run("for i in $(seq 1 300); do grep -q end /tmp/writer && break; sleep 0.1; done; cat /tmp/writer"));
        AssertSameDisk(host, vm, "vdb");
        Assert.DoesNotContain("error", vm.Run("dmesg"), StringComparison.OrdinalIgnoreCase);
        host.Run("kill -9 $(pidof paravane-net)");
        WaitForRestarts(vm, [3, 3, 1]);
        vm.Run("ping -q -c 5 -i 0.3 -W 5 10.0.0.1");

        // Stopped and started from outside: the guest's clock jumps, its data do not.
        vm.Control("pause");
        Assert.Contains("\"paused\"", vm.Control("status"), StringComparison.Ordinal);
        vm.Control("resume");
        AssertSameDisk(host, vm, "vdb");
        vm.Run("cd /kept; sha256sum -c sums");
        vm.PowerOff();
        host.Run("/tools/e2fsck -fn /tmp/root.img");
    });

    [Fact]
    public void Disks_nics_and_memory_come_and_disks_go_while_the_guest_runs() => EmulatedHost.Try(host =>
    {
        host.Run($"dd if=/dev/urandom of=/tmp/image bs=1024k count=8 2>/dev/null; cp /tmp/image /tmp/second; {MakeTap}");
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --disk=path=/tmp/image", "memhp_default_state=online_movable");
        AssertSameDisk(host, vm);

        long before = MemoryOf(vm);
        vm.Control("add-memory 128M");
        vm.WaitFor($"[ $(sed -n 's/MemTotal: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo) -gt {before + 100_000} ]");

        // After that, so that the new worker has the new memory from its start, and the old one from its addition.
        Assert.Contains("\"second\"", vm.Control("add-disk path=/tmp/second,id=second"), StringComparison.Ordinal);
        vm.WaitFor("[ -b /dev/vdb ]");
        Assert.StartsWith(host.Run("sha256sum < /tmp/second")[..64], vm.Run("sha256sum < /dev/vdb"));
        vm.Control("add-net tap:vm0,id=wire");
        vm.WaitFor("[ -d /sys/class/net/eth0 ]");
        vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.1");

        // What only processes and caches use comes from the new memory first: both disks move bytes to and from there.
        long free = FreePagesOfNewMemory(vm);
        vm.Run("echo 3 > /proc/sys/vm/drop_caches; cp /dev/vda /tmp/copy; cmp /tmp/copy /dev/vda; cp /dev/vdb /tmp/copy; cmp /tmp/copy /dev/vdb");
        Assert.InRange(free - FreePagesOfNewMemory(vm), 2000, long.MaxValue);
        vm.Run("rm /tmp/copy");

        vm.Control("remove second");
        vm.WaitFor("[ ! -b /dev/vdb ]");
        host.Run("for i in $(seq 1 100); do [ $(pidof paravane-blk | wc -w) = 1 ] && exit 0; sleep 0.1; done; exit 1");
        Assert.DoesNotContain("second", vm.Control("status"), StringComparison.Ordinal);
        vm.Control("add-disk path=/tmp/second,readonly=on");
        vm.WaitFor("[ -b /dev/vdb ]");
        Assert.Equal("1", vm.Run("cat /sys/block/vdb/ro"));
        AssertSameDisk(host, vm);

        // SIGTERM presses the power button; what follows is the guest's decision.
        vm.Run("(dd if=/dev/input/event0 bs=24 count=1 of=/tmp/pressed 2>/dev/null; poweroff -f) > /dev/null 2>&1 &");
        host.Run("kill -TERM $(pidof paravane)");
        vm.WaitForEnd();
    });

    [Fact]
    public void The_guest_uses_as_many_queue_pairs_as_it_is_told_and_the_address_it_is_given() => EmulatedHost.Try(host =>
    {
        host.Run($"{MakeTap}; mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=1024 count=200 2>/dev/null; busybox httpd -p 8000 -h /tmp/www");
        string sum = host.Run("sha256sum < /tmp/www/file");
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --cpus=2 --net=tap:vm0,queue-pairs=2,mac=52:54:00:12:34:56");
        vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up");
        Assert.Equal(["2", "2"], vm.Run("/tools/ethtool -l eth0 | awk '$1 == \"Combined:\" { print $2 }'").Split('\n'));
        foreach (int pairs in (int[])[2, 1, 2])
        {
            // A flow from each processor; the tap answers on the queue on which it heard a flow last.
            vm.Run($"/tools/ethtool -L eth0 combined {pairs} || true"); // objects where nothing changes
            long[] before = Counters(vm);
            string sums = vm.Run("for cpu in 1 2; do taskset $cpu wget -q -O - http://10.0.0.1:8000/file | sha256sum; done");
            Assert.Equal(2, sums.Split('\n').Count(line => line == sum));
            long[] more = [.. Counters(vm).Zip(before, (after, earlier) => after - earlier)];
            Assert.True(more.Take(2 * pairs).All(count => count > 0), $"{pairs} pairs: {string.Join(' ', more)}");
        }

        vm.Run("ip link set eth0 address 52:54:00:ab:cd:ef; ip link set eth0 promisc on; ip link set eth0 promisc off");
        host.Run("/tools/ip neigh flush dev vm0; ping -q -c 3 -i 0.3 -W 5 10.0.0.2; /tools/ip neigh show dev vm0 | grep -q 52:54:00:ab:cd:ef");
        Assert.DoesNotContain("Failed", vm.Run("dmesg | grep virtio_net || true"), StringComparison.OrdinalIgnoreCase);
        vm.PowerOff();

        // The driver has counters for the pairs in use only.
        static long[] Counters(NestedVm vm) =>
        [
            .. ((string[])["rx_queue_0_packets", "tx_queue_0_packets", "rx_queue_1_packets", "tx_queue_1_packets"]).Select(counter =>
                long.Parse(vm.Run($"/tools/ethtool -S eth0 | awk '$1 == \"{counter}:\" {{ count = $2 }} END {{ print count + 0 }}'"), CultureInfo.InvariantCulture)),
        ];
    });

    [Fact]
    public void The_same_devices_work_through_memory_mapped_windows_and_the_kernel_starts_by_pvh() => EmulatedHost.Try(host =>
    {
        host.Run($"dd if=/dev/urandom of=/tmp/image bs=1024k count=8 2>/dev/null; {MakeTap}");
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --transport=mmio --pvh --disk=path=/tmp/image --net=tap:vm0");
        AssertSameDisk(host, vm);
        Assert.Contains("LNRO0005", vm.Run("readlink -f /sys/block/vda"), StringComparison.Ordinal);
        vm.Run("dd if=/dev/urandom of=/dev/vda bs=64k count=32 conv=notrunc,fsync 2>/dev/null");
        AssertSameDisk(host, vm);
        vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -q -c 3 -i 0.3 -W 5 -s 8000 10.0.0.1");
        vm.Reboot();
        AssertSameDisk(host, vm);
        vm.PowerOff();
    });

    [Fact]
    public void A_stock_kernel_has_its_disk_from_qemu_storage_daemon_and_its_NIC_from_testpmd() => EmulatedHost.Try(scratch => NestedHost.WithTests(scratch, "Hypervisor.Tests", "EndToEnd"), host =>
    {
        host.Run("""
            dd if=/dev/urandom of=/tmp/image bs=1024k count=16 2>/dev/null
            qemu-storage-daemon --object iothread,id=t0 --blockdev driver=file,node-name=disk,filename=/tmp/image \
                --export type=vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path=/tmp/disk.sock,writable=on,num-queues=2,iothread=t0 > /tmp/daemon 2>&1 &
            (sleep 100000 | dpdk-testpmd --no-pci --no-telemetry --no-huge --no-shconf -m 64 --lcores 0@0,1@1 --vdev net_vhost0,iface=/tmp/net.sock,queues=1 \
                -- --nb-cores=1 --forward-mode=io --auto-start --port-topology=loop --total-num-mbufs=8192 > /tmp/testpmd 2>&1) &
            for i in $(seq 1 200); do [ -S /tmp/disk.sock ] && [ -S /tmp/net.sock ] && exit 0; sleep 0.1; done
            cat /tmp/daemon /tmp/testpmd; exit 1
            """);
        NestedVm vm = NestedVm.Boot(host, "--memory=256M --cpus=2 --vhost-user=type=blk,path=/tmp/disk.sock --vhost-user=type=net,path=/tmp/net.sock");
        AssertSameDisk(host, vm);
        vm.Run("dd if=/dev/urandom of=/dev/vda bs=64k count=64 seek=8 conv=notrunc,fsync 2>/dev/null; [ -d /sys/block/vda/mq/1 ]");
        AssertSameDisk(host, vm);

        // The port sends each frame back: the guest hears its own questions for an address that nobody has.
        vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ! ping -q -c 3 -W 1 10.0.0.9; cd /sys/class/net/eth0/statistics; [ $(cat rx_packets) -ge 3 ]; [ $(cat rx_errors) = 0 ]");
        vm.Reboot();
        AssertSameDisk(host, vm);
        vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ! ping -q -c 3 -W 1 10.0.0.9; [ $(cat /sys/class/net/eth0/statistics/rx_packets) -ge 3 ]");
        vm.PowerOff();
    });

    private static void AssertSameDisk(NestedHost host, NestedVm vm, string disk = "vda") =>
        Assert.StartsWith(host.Run("sha256sum < /tmp/image")[..64], vm.Run($"echo 3 > /proc/sys/vm/drop_caches; sha256sum < /dev/{disk}"));

    private static void WaitForRestarts(NestedVm vm, int[] expected)
    {
        int[] restarts = [];
        for (int attempt = 0; attempt < 60 && !restarts.SequenceEqual(expected); attempt++)
        {
            Thread.Sleep(200);
            using JsonDocument metrics = JsonDocument.Parse(vm.Control("metrics"));
            restarts = [.. metrics.RootElement.GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("back_end_restarts").GetInt32())];
        }

        Assert.Equal(expected, restarts);
    }

    private static long FreePagesOfNewMemory(NestedVm vm) =>
        long.Parse(vm.Run("awk '/zone +Movable/ { found = 1 } found && /pages free/ { print $3; exit }' /proc/zoneinfo"), CultureInfo.InvariantCulture);

    private static long MemoryOf(NestedVm vm) =>
        long.Parse(vm.Run("sed -n 's/MemTotal: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo"), CultureInfo.InvariantCulture);
}
