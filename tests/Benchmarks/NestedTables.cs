using System.Globalization;
using System.Text.Json;
using Paravane.Hypervisor.Boot;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>A stock guest of <c>paravane run</c> on the KVM of an emulated host.</summary>
/// <remarks>One such host for all tables, booted by the first row that needs it; its virtual machine of the exits is kept too.</remarks>
internal sealed class NestedTables(Settings settings) : IDisposable
{
    private const string QemuCommon =
        "-accel kvm -cpu host -smp 1 -m 256M -nodefaults -no-user-config -display none -kernel vmlinuz -initrd initramfs "
        + "-drive if=none,id=d,driver=null-co,size=1G -serial stdio -append '" + KernelCommandLine.Default + " quiet'";

    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();
    private NestedHost? _host;
    private NestedVm? _vm;

    private static string? Missing => File.Exists("/usr/bin/qemu-system-x86_64") ? null : "this host has no qemu-system-x86_64, which emulates the host";

    /// <summary>Exits to user space while a guest works.</summary>
    public TablePlan Exits() => new(
        new Table("exits", "Exits to user space in steady state, virtio-pci", "per request", MoreIsBetter: false,
            "Debian's kernel under `paravane run`, on the KVM of an emulated host. The guest reads its disk with O_DIRECT; the host floods the guest with pings. Counted on both "
            + "sides of the border, by `paravane ctl metrics` (exits and interruptions) and by KVM's tracepoint `kvm_userspace_exit`; what the serial console took, over which the "
            + "guest gets its commands, is taken off one by one (`accesses` of the metrics). Divided by the requests that the guest's disk counted, or the frames that the tap counted."),
        [
            new Row("disk request, by paravane", () => OfDisk(counted => counted.Own), [], new Must(0, AtLeast: false)),
            new Row("disk request, by KVM", () => OfDisk(counted => counted.Kvm), [], new Must(0, AtLeast: false)),
            new Row("packet, by paravane", () => OfNet(counted => counted.Own), [], new Must(0, AtLeast: false)),
            new Row("packet, by KVM", () => OfNet(counted => counted.Kvm), [], new Must(0, AtLeast: false)),
        ],
        Missing);

    /// <summary>Memory of the process that runs the machine.</summary>
    public TablePlan Memory() => new(
        new Table("run-memory", "Private memory of `paravane run`", "MiB", MoreIsBetter: false,
            "Private pages in `/proc/PID/smaps` without guest RAM, which is a memfd that workers map too, after Debian's kernel has been unpacked and booted to its first process."),
        [new Row("Debian's kernel, one disk, one NIC", MemoryOnce, [], new Must(20, AtLeast: false))],
        Missing);

    /// <summary>Boot of a stock kernel beside QEMU.</summary>
    public TablePlan Boot() => new(
        new Table("boot", "Boot of Debian's stock kernel in the emulated host", "s", MoreIsBetter: false,
            "From the start of the program to the first line of /init on the console, one vCPU, 256 MiB, one disk that does nothing. QEMU with the same kernel, initramfs and command "
            + "line on the same KVM, with the quicker of its machines q35 and microvm. All of it is emulated: only the ratio says something."),
        [
            new Row("to the first line of /init", OurBoot,
                [
                    new Peer("QEMU, q35", () => PeersBoot("-M q35", "-device virtio-blk-pci,drive=d")),
                    new Peer("QEMU, microvm", () => PeersBoot("-M microvm,acpi=on", "-device virtio-blk-device,drive=d")),
                ],
                new Must(1, AtLeast: false)),
        ],
        Missing);

    /// <inheritdoc/>
    public void Dispose()
    {
        _host?.Dispose();
        _scratch.Dispose();
    }

    private NestedHost Host => _host ??= NestedHost.WithQemu(_scratch);

    private NestedVm Vm
    {
        get
        {
            if (_vm is null)
            {
                Host.Run("""
                    mount -t tracefs tracefs /sys/kernel/tracing
                    echo hist:keys=reason > /sys/kernel/tracing/events/kvm/kvm_userspace_exit/trigger
                    dd if=/dev/zero of=/tmp/image bs=1M count=64 2>/dev/null
                    /tools/ip tuntap add dev vm0 mode tap multi_queue vnet_hdr
                    /tools/ip address add 10.0.0.1/24 dev vm0
                    /tools/ip link set vm0 up
                    """);
                _vm = NestedVm.Boot(Host, "--memory=256M --disk=path=/tmp/image --net=tap:vm0");
                _vm.Run("ip address add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -q -c 1 -W 5 10.0.0.1 > /dev/null");
            }

            return _vm;
        }
    }

    private Sample OfDisk(Func<(double Own, double Kvm), double> figure)
    {
        int count = settings.Quick ? 500 : 2000;
        string read = string.Create(CultureInfo.InvariantCulture, $"dd if=/dev/vda of=/dev/null bs=4k iflag=direct count={count} 2>/dev/null");
        Func<long> requests = () => long.Parse(Vm.Run("cut -d' ' -f-16 /sys/block/vda/stat").Split(' ', StringSplitOptions.RemoveEmptyEntries)[0], CultureInfo.InvariantCulture);
        long before = requests();
        (double own, double kvm) = Exits(() => Vm.Run(read));
        long done = requests() - before;
        return new Sample(figure((own / done, kvm / done)), $"{read}     # {count} times 4 KiB, in the guest");
    }

    private Sample OfNet(Func<(double Own, double Kvm), double> figure)
    {
        string ping = string.Create(CultureInfo.InvariantCulture, $"ping -q -f -c {(settings.Quick ? 500 : 1500)} -s 1000 10.0.0.2");
        Func<long> frames = () => Host.Run("cat /sys/class/net/vm0/statistics/rx_packets /sys/class/net/vm0/statistics/tx_packets").Split('\n')
            .Sum(line => long.Parse(line, CultureInfo.InvariantCulture));
        _ = Vm;
        long before = frames();
        (double own, double kvm) = Exits(() => Host.Run($"/tools/{ping}"));
        long done = frames() - before;
        return new Sample(figure((own / done, kvm / done)), $"{ping}     # on the host");
    }

    /// <summary>Exits while something happens, without those of the console.</summary>
    private (double Own, double Kvm) Exits(Action work)
    {
        _ = Vm;
        (long own, long console) = OwnExits();
        long kvm = KvmExits();
        work();
        long kvmAfter = KvmExits();
        (long ownAfter, long consoleAfter) = OwnExits();
        long consoleExits = consoleAfter - console;
        return (ownAfter - own - consoleExits, kvmAfter - kvm - consoleExits);
    }

    private (long Exits, long Console) OwnExits()
    {
        JsonElement metrics = JsonDocument.Parse(Vm.Control("metrics")).RootElement;
        long console = metrics.GetProperty("accesses").EnumerateArray().Where(access => access.GetProperty("device").GetString() == "serial")
            .Sum(access => access.GetProperty("reads").GetInt64() + access.GetProperty("writes").GetInt64());
        return (metrics.GetProperty("exits").GetInt64() + metrics.GetProperty("interruptions").GetInt64(), console);
    }

    private long KvmExits() => long.Parse(
        Host.Run("sed -n 's/.*Hits: *\\([0-9]*\\).*/\\1/p' /sys/kernel/tracing/events/kvm/kvm_userspace_exit/hist"), CultureInfo.InvariantCulture);

    private Sample MemoryOnce()
    {
        _ = Vm;
        string kibibytes = Host.Run("""
            awk '/^[0-9a-f]+-[0-9a-f]+ /{guest=/memfd:paravane-guest/} /^Private_(Clean|Dirty):/{if(!guest)sum+=$2} END{print sum}' /proc/$(pidof paravane)/smaps
            """);
        return new Sample(long.Parse(kibibytes, CultureInfo.InvariantCulture) / 1024.0, "bin/paravane run --kernel=vmlinuz --initrd=initramfs --memory=256M --disk=path=image --net=tap:vm0");
    }

    private Sample OurBoot() => TimeBoot(
        "/tools/paravane run --kernel=vmlinuz --initrd=initramfs --memory=256M --disk=null=1G --append=quiet",
        "bin/paravane run --kernel=vmlinuz --initrd=initramfs --memory=256M --disk=null=1G --append=quiet");

    private Sample PeersBoot(string machine, string disk) => TimeBoot($"/tools/qemu-system-x86_64 -L /usr/share/qemu -L /usr/share/seabios {machine} {QemuCommon} {disk}", $"qemu-system-x86_64 {machine} {QemuCommon} {disk}");

    private Sample TimeBoot(string command, string described)
    {
        string seconds = Host.Run($$"""
            cd /inner
            [ -p /tmp/console ] || mkfifo /tmp/console
            start=$(cut -d' ' -f1 /proc/uptime)
            {{command.Replace("initramfs", "first.cpio", StringComparison.Ordinal)}} > /tmp/console 2> /tmp/boot.log < /dev/null & program=$!
            timeout 120 grep -m 1 -q @@first /tmp/console || { cat /tmp/boot.log; exit 1; }
            end=$(cut -d' ' -f1 /proc/uptime)
            kill -9 $program
            wait $program 2>/dev/null || true
            echo $start $end | awk '{print $2-$1}'
            """);
        return double.TryParse(seconds.Split('\n')[^1], CultureInfo.InvariantCulture, out double time) ? new Sample(time, described)
            : throw new PeerException($"the emulated host did not say how long this took: {described}\n{seconds}");
    }
}
