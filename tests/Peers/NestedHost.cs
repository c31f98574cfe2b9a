using System.Runtime.InteropServices;

namespace Paravane.Peers;

/// <summary>A whole host in software emulation, with a KVM of its own: QEMU's emulated AMD processor has SVM with nested paging.</summary>
/// <remarks>
/// So that virtual machines of <c>paravane run</c> boot a stock kernel wherever tests run, whatever the machine's own /dev/kvm can do. The host has
/// Paravane's programs in /tools, and in /inner what its guests boot: Debian's kernel and the usual initramfs.
/// </remarks>
public sealed class NestedHost : IDisposable
{
    private static readonly Lazy<string> s_image = new(() => Image([], [], []));

    /// <summary>Firmware that QEMU looks for: of a PC and of microvm, and what hands a kernel over to them.</summary>
    private static readonly string[] s_firmware =
    [
        "/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/bios-microvm.bin", "/usr/share/qemu/bios-microvm.bin", "/usr/share/qemu/qboot.rom",
        "/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/pvh.bin", "/usr/share/qemu/kvmvapic.bin",
    ];

    private const string Mark = "PARAVANE_TESTS_EMULATED";

    private readonly QemuGuest _machine;

    /// <summary>Whether these tests run on such a host: what they measure says nothing then.</summary>
    public static bool IsThis => Environment.GetEnvironmentVariable(Mark) is not null;

    private static string RuntimeRoot => Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));

    /// <summary>Boots a host of two CPUs and 2 GiB.</summary>
    public NestedHost(TemporaryDirectory scratch)
        : this(scratch, s_image.Value)
    {
    }

    private NestedHost(TemporaryDirectory scratch, string image)
    {
        // A host that falls over ends, so that whoever waits for it hears so at once.
        _machine = QemuGuest.Boot(scratch, ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-M", "q35", "-m", "2G", "-no-reboot"], image);
        try
        {
            KeepKvmInUse();
        }
        catch
        {
            _machine.Dispose();
            throw;
        }
    }

    /// <summary>Boots one which has QEMU, ping and, as <c>/inner/first.cpio</c>, an initramfs whose first process only says <c>@@first</c>.</summary>
    public static NestedHost WithQemu(TemporaryDirectory scratch)
    {
        Dictionary<string, string> files = s_firmware.Where(File.Exists).ToDictionary(path => path.TrimStart('/'), path => Path.GetFullPath(path));
        string first = scratch.File("first.cpio");
        using (FileStream stream = File.Create(first))
        using (CpioWriter archive = new(stream))
        {
            archive.AddFile("init", "#!/bin/busybox sh\necho @@first\nexec /bin/busybox sleep 1000\n"u8);
            archive.AddFile("bin/busybox", File.ReadAllBytes(Tool.Find("busybox")));
        }

        files["inner/first.cpio"] = first;
        return new NestedHost(scratch, Image([Tool.Find("qemu-system-x86_64"), Tool.Find("ping")], [], files));
    }

    /// <summary>
    /// Boots one which has test programs of this repository, at the same places below <see cref="TestRoot"/>, and the runtime that they need:
    /// tests that need a KVM run on this one's.
    /// </summary>
    /// <param name="scratch">For its console.</param>
    /// <param name="assemblies">Names of test projects.</param>
    public static NestedHost WithTests(TemporaryDirectory scratch, params string[] assemblies)
    {
        var files = new Dictionary<string, string>
        {
            [$"{TestRoot}/Paravane.slnx"] = Path.Combine(Programs.RepositoryRoot, "Paravane.slnx"),
        };
        AddTree(files, $"{TestRoot}/bin", Path.Combine(Programs.RepositoryRoot, "bin"));
        GuestKernel kernel = GuestKernel.Find();
        string unpacked = $"{TestRoot}/artifacts/guest-kernel", release = Path.GetFileName(kernel.Image)["vmlinuz-".Length..];
        files[$"{unpacked}/boot/{Path.GetFileName(kernel.Image)}"] = kernel.Image;
        AddTree(files, $"{unpacked}/lib/modules/{release}/kernel", kernel.Modules, "virtio_*.ko");
        foreach (string assembly in assemblies)
        {
            string place = $"artifacts/bin/{assembly}/debug";
            AddTree(files, $"{TestRoot}/{place}", Path.Combine(Programs.RepositoryRoot, place));
        }

        // The runtime that this program runs on: …/shared/Microsoft.NETCore.App/VERSION, and beside shared/ what finds it.
        string runtime = RuntimeEnvironment.GetRuntimeDirectory().TrimEnd('/');
        foreach (string folder in (string[])[runtime, Path.Combine(RuntimeRoot, "host")])
        {
            AddTree(files, folder.TrimStart('/'), folder);
        }

        string[] tools = ["env", "setpriv", "stdbuf", "taskset", "timeout", "unshare", "qemu-storage-daemon", "dpdk-testpmd"];
        string[] libraries = [Path.Combine(runtime, "libcoreclr.so"), "/usr/libexec/coreutils/libstdbuf.so", "/usr/lib/x86_64-linux-gnu/libssl.so.3", .. Testpmd.Drivers];
        return new NestedHost(scratch, Image([.. tools.Select(Tool.Find)], libraries, files));
    }

    /// <summary>Where <see cref="WithTests"/> puts this repository.</summary>
    public const string TestRoot = "paravane";

    /// <summary>Runs the tests of a project that need a KVM.</summary>
    /// <returns>The runner's report, and what it printed.</returns>
    public (string Report, string Output) RunTests(string assembly, string program, int limitSeconds)
    {
        // What an installed Debian has and an initramfs has not: accounts, and /dev/kvm as udev leaves it.
        (int _, string output) = _machine.TryRun(
            $"""
            printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' > /etc/passwd
            printf 'root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n' > /etc/group
            chgrp 104 /dev/kvm; chmod 660 /dev/kvm
            export {Mark}=1 DOTNET_ROOT={RuntimeRoot} DOTNET_TieredPGO=0 TESTINGPLATFORM_TELEMETRY_OPTOUT=1 TMPDIR=/tmp
            /{TestRoot}/artifacts/bin/{assembly}/debug/{program} --no-ansi --no-progress --output Detailed --parallel none --filter-trait Needs=KVM \
                --report-ctrf --report-ctrf-filename report.json --results-directory /tmp/results
            """,
            limitSeconds);
        (int code, string report) = _machine.TryRun("cat /tmp/results/report.json; rm -r /tmp/results");
        return code == 0 ? (report, output) : throw new PeerException($"{program} left no report:\n{output}");
    }

    private static void AddTree(Dictionary<string, string> files, string target, string source, string pattern = "*")
    {
        foreach (string file in Directory.EnumerateFiles(source, pattern, SearchOption.AllDirectories))
        {
            files[$"{target}/{Path.GetRelativePath(source, file)}"] = file;
        }
    }

    /// <summary>Runs a shell script on the host; any exit code but 0 fails the test. Returns what it printed.</summary>
    public string Run(string script, int limitSeconds = 120) => _machine.Run(script, limitSeconds);

    /// <summary>Runs a shell script on the host and returns its exit code and what it printed.</summary>
    public (int Code, string Output) TryRun(string script, int limitSeconds = 120) => _machine.TryRun(script, limitSeconds);

    /// <inheritdoc/>
    public void Dispose() => _machine.Dispose();

    /// <summary>Leaves a virtual machine behind that only sleeps, under a name of its own.</summary>
    /// <remarks>
    /// With its first virtual machine and with its last, and with each local APIC that goes on or off alone, Linux patches its own code by way of a breakpoint,
    /// which its CPUs may run into meanwhile. QEMU 7.2 with a thread for each CPU now and then keeps the translation that has the breakpoint: about one in a
    /// hundred virtual machines that came and went left the whole host standing. None does as long as there is another one. (One thread for all CPUs
    /// does not do that, but stock kernels lose their page tables there.)
    /// </remarks>
    private void KeepKvmInUse() => Run(
        $"""
        echo {Convert.ToBase64String(IdleKernel.Make())} | base64 -d > /tmp/idle.elf
        cp /tools/paravane /tmp/sleeper
        /tmp/sleeper run --kernel=/tmp/idle.elf --memory=32M --console=/tmp/sleeper.console < /dev/null > /tmp/sleeper.log 2>&1 &
        for i in $(seq 300); do [ -s /tmp/sleeper.console ] && exit 0; sleep 0.1; done
        cat /tmp/sleeper.log; exit 1
        """);

    private static string Image(string[] programs, string[] libraries, Dictionary<string, string> files) => GuestImage.With(
        ["kvm_amd", "tun"],
        [Programs.Paravane, Programs.Block, Programs.Net, Tool.Find("ip"), .. programs],
        libraries,
        new Dictionary<string, string>(files)
        {
            ["inner/vmlinuz"] = GuestKernel.Find().Image,
            ["inner/initramfs"] = GuestImage.Location,
        });
}
