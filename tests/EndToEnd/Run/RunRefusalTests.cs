using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Text;
using Paravane.Hypervisor.Boot;
using Paravane.Peers;

namespace Paravane.EndToEnd.Run;

/// <summary>What <c>paravane run</c> cannot do is one line that names it, an exit code, and no trace.</summary>
[SupportedOSPlatform("linux")]
[Trait("Needs", "KVM")]
public sealed class RunRefusalTests : IDisposable
{
    private readonly MachineProcess _machine;

    public RunRefusalTests()
    {
        MachineProcess.RequireKvm(); // first: what is made before a skip is never disposed
        _machine = new MachineProcess();
    }

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void A_kernel_that_is_no_file_with_something_in_it_is_refused()
    {
        Assert.Contains("/nowhere' does not exist", Kernel(_machine.File("nowhere")), StringComparison.Ordinal);
        Assert.Contains("is a directory", Kernel(_machine.File(string.Empty)), StringComparison.Ordinal);
        Assert.Contains("is empty", Kernel(_machine.File("empty", [])), StringComparison.Ordinal);
        Assert.Contains("is no kernel: first bytes 6E6F2C20", Kernel(_machine.File("text", "no, not this"u8.ToArray())), StringComparison.Ordinal);
    }

    [Fact]
    public void A_stock_kernel_that_is_cut_off_or_packed_in_an_unknown_way_is_refused()
    {
        byte[] whole = File.ReadAllBytes(GuestKernel.Find().Image);
        Assert.Contains("is cut off: the compressed kernel should be", Kernel(_machine.File("short", whole[..100_000])), StringComparison.Ordinal);
        Assert.Contains("is cut off", Kernel(_machine.File("shorter", whole[..1000])), StringComparison.Ordinal);
        uint setup = whole[SetupHeader.Start];
        uint payload = ((setup + 1) * 512) + BitConverter.ToUInt32(whole, SetupHeader.PayloadOffset);
        "BZh91AY"u8.CopyTo(whole.AsSpan((int)payload));
        Assert.Contains("is compressed in an unknown way (first bytes 425A6839", Refused(1, $"--kernel={_machine.File("strange", whole)}", "--memory=256M"), StringComparison.Ordinal); // enough for what its header asks for
    }

    [Fact]
    public void A_kernel_for_another_architecture_is_refused_by_its_name()
    {
        Assert.Contains("for another architecture: 32-bit i386", Kernel(_machine.File("i386", BareKernel.Elf(new byte[64], machine: 3, wordClass: 1))), StringComparison.Ordinal);
        Assert.Contains("for another architecture: 64-bit aarch64", Kernel(_machine.File("aarch64", BareKernel.Elf(new byte[64], machine: 183))), StringComparison.Ordinal);
        byte[] image = new byte[4096];
        "ARM\x64"u8.CopyTo(image.AsSpan(0x38));
        Assert.Contains("arm64 Linux image", Kernel(_machine.File("Image", image)), StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_into_memory_is_told_with_numbers()
    {
        string huge = _machine.File("huge", BareKernel.Elf(new byte[64], memoryBytes: 1 << 30));
        Assert.Contains("larger than the guest's memory: it needs the addresses up to 0x41000000, and RAM ends at 0x2000000", Kernel(huge), StringComparison.Ordinal);
        string good = Good();
        Assert.Contains("initrd '/nowhere' does not exist", Refused(1, $"--kernel={good}", "--initrd=/nowhere"), StringComparison.Ordinal);
        string initrd = _machine.File("initrd", new byte[40 << 20]);
        Assert.Contains($"initrd '{initrd}' does not fit: it has 0x2800000 bytes", Refused(1, $"--kernel={good}", "--memory=32M", $"--initrd={initrd}"), StringComparison.Ordinal);
        Assert.Contains("takes at most 2047", Refused(1, $"--kernel={good}", $"--append={new string('x', 2048)}"), StringComparison.Ordinal);
    }

    [Fact]
    public void What_fails_late_takes_the_workers_along_that_had_been_started()
    {
        string[] options = [$"--kernel={Good()}", "--memory=32M", "--disk=ram=16M", "--net=loop", $"--control={_machine.ControlPath}", "--console=/nowhere/log"];
        Assert.Contains("'/nowhere/log' cannot be written", Refused(1, options), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--memory=1M", "--memory=1M: from 32M to 255G are possible")]
    [InlineData("--memory=100T", "--memory=100T: from 32M to 255G are possible")]
    [InlineData("--memory=much", "--memory: 'much' is not a size")]
    [InlineData("--cpus=0", "--cpus: '0' is not a number from 1 to 64")]
    [InlineData("--cpus=65", "--cpus: '65' is not a number from 1 to 64")]
    [InlineData("--transport=isa", "--transport: 'isa' is none of pci, mmio")]
    [InlineData("--disk=big", "--disk: 'big' is not KEY=VALUE")]
    [InlineData("--disk=path=a,colour=red", "--disk: colour is not known here")]
    [InlineData("--net=wire", "--net: 'wire' is none of")]
    [InlineData("--vhost-user=type=blk", "--vhost-user: path is missing")]
    [InlineData("--disk=ram=1M,id=a|--net=loop,id=a", "id=a is given to two devices")]
    [InlineData("--quick", "'--quick' is not known here")]
    public void A_wrong_option_is_named_with_what_would_be_right(string options, string expected) =>
        Assert.Contains(expected, Refused(2, [$"--kernel={Good()}", .. options.Split('|')]), StringComparison.Ordinal);

    [Fact]
    public void A_kernel_must_be_given() => Assert.Contains("'--kernel' is required", Refused(2), StringComparison.Ordinal);

    [Fact]
    public void A_socket_that_is_nobodys_is_refused()
    {
        Assert.Contains("disk0: no socket at", Socket("blk", _machine.File("nowhere")), StringComparison.Ordinal);
        using (ChildProcess dead = BackEnd.Start(Programs.Block, _machine.File("gone"), "--blk-ram=16M"))
        {
            dead.Signal(MachineProcess.Kill);
            dead.WaitForExit(MachineProcess.Limit);
        }

        Assert.Contains("disk0: nobody listens at", Socket("blk", _machine.File("gone")), StringComparison.Ordinal);
        Assert.Contains("net0: '" + _machine.File("file", [1]) + "' is not a socket", Socket("net", _machine.File("file", [1])), StringComparison.Ordinal);
    }

    [Theory, InlineData(false), InlineData(true)]
    public void What_listens_but_is_no_back_end_is_refused_in_bounded_time(bool talks)
    {
        using Socket listener = Listen("other");
        var serving = new Thread(() =>
        {
            using Socket session = listener.Accept();
            if (talks)
            {
                session.Send(Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
            }

            try
            {
                byte[] buffer = new byte[4096];
                while (session.Receive(buffer) > 0)
                {
                }
            }
            catch (SocketException)
            {
                // It left without having read all that was said.
            }
        });
        serving.Start();
        long start = Environment.TickCount64;
        string line = Socket("blk", _machine.File("other"));
        Assert.Contains($"disk0: the back-end at '{_machine.File("other")}': ", line, StringComparison.Ordinal);
        Assert.InRange(Environment.TickCount64 - start, 0, 15_000);
        serving.Join();
    }

    [Theory, InlineData("paravane-blk", "net", "it is a block device, not a network device"), InlineData("paravane-net", "blk", "it is a network device, not a block device")]
    public void A_back_end_of_another_device_type_is_refused_and_goes_on(string program, string type, string expected)
    {
        using ChildProcess server = BackEnd.Start(Processes.BackEndProgram.Find(program), _machine.File("socket"), Processes.BackEndProgram.Minimum(program));
        Assert.Contains(expected, Socket(type, _machine.File("socket")), StringComparison.Ordinal);
        Assert.False(server.HasExited, server.Transcript);
    }

    [Fact]
    public void What_a_worker_says_about_its_failure_comes_through()
    {
        string missing = _machine.File("disk.img");
        string line = Refused(1, $"--kernel={Good()}", "--net=loop", $"--disk=path={missing}");
        Assert.Contains($"disk0: paravane-blk ended with exit code 1: paravane-blk: --blk-file={missing}: there is no such file", line, StringComparison.Ordinal);
        Assert.Contains("paravane-net", Refused(1, $"--kernel={Good()}", "--net=tap:a-name-that-no-tap-has"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_tap_that_does_not_exist_and_may_not_be_made_is_refused()
    {
        string line = _machine.Refuses(1, [$"--kernel={Good()}", "--net=tap:nosuchtap0"], AsNobody(File.GetUnixFileMode("/dev/kvm").HasFlag(UnixFileMode.OtherRead) ? null : "kvm"));
        Assert.Contains("net0: paravane-net ended with exit code 1: ", line, StringComparison.Ordinal);
        Assert.Contains("nosuchtap0", line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_control_socket_that_is_in_use_or_cannot_be_is_refused_and_left_alone()
    {
        string good = Good();
        using (Socket listener = Listen("control"))
        {
            Assert.Contains("control' is in use by a running process", Refused(1, $"--kernel={good}", $"--control={_machine.ControlPath}"), StringComparison.Ordinal);
        }

        File.Delete(_machine.ControlPath);
        File.WriteAllText(_machine.ControlPath, "precious");
        Assert.Contains("is no stale socket", Refused(1, $"--kernel={good}", $"--control={_machine.ControlPath}"), StringComparison.Ordinal);
        Assert.Equal("precious", File.ReadAllText(_machine.ControlPath));
        Assert.Contains("the control socket '/nowhere/control' cannot be made: ", Refused(1, $"--kernel={good}", "--control=/nowhere/control"), StringComparison.Ordinal);
        Assert.Contains("a socket path has 1 to 107 bytes, not 108", Refused(2, $"--kernel={good}", $"--control=/{new string('x', 107)}"), StringComparison.Ordinal);
        Assert.Contains("the console's file '/nowhere/log' cannot be written: ", Refused(1, $"--kernel={good}", "--console=/nowhere/log"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_dev_kvm_that_is_missing_or_something_else_is_told_with_what_to_do()
    {
        RequireRoot();
        string dev = _machine.File("dev");
        Directory.CreateDirectory(dev);
        string missing = $"mount -t tmpfs none {dev}; for node in null zero random urandom; do cp -a /dev/$node {dev}/; done; mount --move {dev} /dev; exec \"$0\" \"$@\"";
        Assert.Contains("/dev/kvm does not exist: load the kernel module kvm_intel or kvm_amd", Wrapped(missing), StringComparison.Ordinal);
        Assert.Contains("/dev/kvm is not KVM", Wrapped("mount --bind /dev/null /dev/kvm; exec \"$0\" \"$@\""), StringComparison.Ordinal);

        string Wrapped(string script) => _machine.Refuses(1, [$"--kernel={Good()}"], "unshare", "--mount", "sh", "-e", "-c", script);
    }

    [Fact]
    public void A_dev_kvm_that_is_forbidden_is_told_with_what_to_do()
    {
        if (File.GetUnixFileMode("/dev/kvm").HasFlag(UnixFileMode.OtherWrite))
        {
            Assert.Skip("everybody may open this host's /dev/kvm");
        }

        string line = _machine.Refuses(1, [$"--kernel={Good()}"], AsNobody(null));
        Assert.Contains("/dev/kvm is forbidden to this user: add the user to the group that owns it (kvm), or run as root", line, StringComparison.Ordinal);
    }

    private static void RequireRoot()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Assert.Skip("only root can do this");
        }
    }

    /// <summary>A command line that runs what follows as a user without rights, but for those of a group.</summary>
    private string[] AsNobody(string? group)
    {
        RequireRoot();
        File.SetUnixFileMode(_machine.File(string.Empty), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        const string Nobody = "65534";
        return ["setpriv", $"--reuid={Nobody}", $"--regid={Nobody}", group is null ? "--clear-groups" : $"--groups={group}", "--no-new-privs", "--inh-caps=-all"];
    }

    private Socket Listen(string name)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(_machine.File(name)));
        listener.Listen();
        return listener;
    }

    private string Good() => _machine.File("kernel", BareKernel.Obedient());

    private string Kernel(string path) => Refused(1, $"--kernel={path}", "--memory=32M");

    private string Socket(string type, string path) => Refused(1, $"--kernel={Good()}", "--disk=ram=1M,id=other", $"--vhost-user=type={type},path={path}");

    private string Refused(int exitCode, params string[] options) => _machine.Refuses(exitCode, options);
}
