using System.Text.Json;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Verbs;
using Paravane.VirtioQueues;

namespace Paravane.Hypervisor.Tests.Verbs;

/// <summary>Exit codes and the one line on standard error. One class: it takes over the console.</summary>
public sealed class CommandLineTests
{
    private const string Socket = "--socket-path=/nonexistent/paravane.sock";

    public static TheoryData<string, string> UsageErrors() => new()
    {
        { "", "Required command was not provided" },
        { "frobnicate", "'frobnicate'" },
        { "bench", "Required command was not provided" },
        { "bench blk", "'--socket-path' is required" },
        { $"bench blk {Socket} --nonsense", "'--nonsense'" },
        { $"bench blk {Socket} --depth=0", "--depth: '0' is not a number from 1 to 4096" },
        { $"bench blk {Socket} --depth=many", "--depth: 'many' is not a number from 1 to 4096" },
        { $"bench blk {Socket} --block-size=4X", "--block-size: '4X' is not a size such as 4096, 4K or 1G" },
        { $"bench blk {Socket} --block-size=17179869184T", "is not a size" },
        { $"bench blk {Socket} --block-size=1000", "--block-size=1000: it must be a multiple of 512" },
        { $"bench blk {Socket} --block-size=0", "--block-size=0: it must be a multiple of 512" },
        { $"bench blk {Socket} --rw=scribble", "--rw: 'scribble' is none of randread, read, write, randwrite, randrw" },
        { $"bench blk {Socket} --mix=101", "--mix: '101' is not a number from 0 to 100" },
        { $"bench blk {Socket} --runtime=soon", "--runtime: 'soon' is not a time such as 10s, 500ms or 2m" },
        { $"bench blk {Socket} --runtime=-1s", "--runtime: '-1s' is not a time" },
        { $"bench blk {Socket} --cpus=3-1", "--cpus: '3-1' is not a list of processors" },
        { $"bench blk {Socket} --cpus=1,,2", "--cpus: '1,,2' is not a list of processors" },
        { $"bench blk {Socket} --queue-size=100", "--queue-size=100: a split ring needs a power of two" },
        { $"bench blk {Socket} --queue-size=16", "--queue-size=16: depth 32 takes 32 descriptors" },
        { $"bench net {Socket} --frame-size=59", "--frame-size: '59' is not a number from 60 to 65535" },
        { $"bench net {Socket} --mode=tx --verify", "use --mode=loop in place of --mode=tx" },
        { $"bench net {Socket} --queue-size=4 --frame-size=9000", "too few buffers" },
        { $"bench net {Socket} --ring=round", "--ring: 'round' is none of split, packed" },
        { "demo --seconds=0", "--seconds: '0' is not a number from 1 to 86400" },
        { "demo now", "'now'" },
        { "run", "'--kernel' is required" },
        { "run --kernel=k --memory=31M", "--memory=31M: from 32M to 255G are possible" },
        { "run --kernel=k --memory=256G", "--memory=256G: from 32M to 255G are possible" },
        { "run --kernel=k --disk=ram=1M,id=a --vhost-user=type=net,path=/x,id=a", "id=a is given to two devices" },
        { "run --kernel=k --disk=ram=1M,colour=red", "--disk: colour is not known here" },
        { $"run --kernel=k --control=/{new string('x', 107)}", "a socket path has 1 to 107 bytes, not 108" },
        { $"bench blk --socket-path=/{new string('x', 107)}", "--socket-path=/x" },
        { $"bench net --socket-path=/{new string('x', 107)}", "a socket path has 1 to 107 bytes, not 108" },
        { $"ctl /{new string('x', 107)} status", "a socket path has 1 to 107 bytes, not 108" },
        { "run --kernel --memory=1G", "--kernel: the value is missing" },
        { "run --kernel=k --append --disk=ram=1M", "--append: the value is missing" },
        { $"bench blk {Socket} --depth --json", "--depth: the value is missing" },
        { $"bench blk {Socket} --depth=2 --depth=3", "--depth is given twice" },
        { $"bench blk {Socket} --cpus=1 --cpus=0", "--cpus is given twice" },
        { $"bench blk {Socket} --json --json", "--json is given twice" },
        { "run --kernel=a --kernel=b", "--kernel is given twice" },
        { "run --kernel=k --prefault=maybe", "run: --prefault=maybe: give it alone, or on or off" },
        { "run --kernel=k --pvh=", "--pvh=: give it alone, or on or off" },
        { "run --kernel=k\uFFFD", "'--kernel=k\uFFFD' is not UTF-8" },
        { "[suggest] ben", "'ben' is not known here" },
        { $"bench blk {Socket} --cpus=1024", "--cpus: '1024' is not a list of processors" },
        { "@/proc/self/comm", "'@/proc/self/comm' is not known here" },
        { "ctl /nonexistent/control", "Required command was not provided" },
        { "ctl /nonexistent/control remove", "'remove'" },
        { "check", "Required command was not provided" },
        { "check kvm now", "'now'" },
    };

    [Theory]
    [MemberData(nameof(UsageErrors))]
    public void A_wrong_command_line_is_one_line_that_names_the_option_and_exit_code_2(string line, string expected)
    {
        (int code, string output, string error) = Run(line);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Empty(output);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(character => character == '\n'));
        Assert.StartsWith("paravane", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--json=off --verify=on --huge-pages=0")]
    [InlineData("--json OFF --verify --huge-pages off")]
    public void A_switch_takes_the_words_that_it_takes_in_the_back_ends(string switches)
    {
        (int code, _, string error) = Run($"bench blk {Socket} {switches}");
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("no socket at", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("bench blk")]
    [InlineData("bench net")]
    public void A_missing_socket_is_one_line_and_exit_code_1(string verb)
    {
        (int code, string output, string error) = Run($"{verb} {Socket}");
        Assert.Equal(ExitCode.Failed, code);
        Assert.Empty(output);
        Assert.Equal($"paravane {verb}: no socket at '/nonexistent/paravane.sock': start the back-end first, with --socket-path=/nonexistent/paravane.sock\n", error);
    }

    [Fact]
    public void A_socket_that_nobody_listens_on_is_exit_code_1()
    {
        string path = Path.Combine(Path.GetTempPath(), $"pv-{Guid.NewGuid():N}.sock");
        try
        {
            VirtioQueues.Linux.UnixSocket.Listen(path, 1).Dispose(); // one of .NET would take its file along
            Assert.True(File.Exists(path));
            (int code, _, string error) = Run($"bench blk --socket-path={path}");
            Assert.Equal(ExitCode.Failed, code);
            Assert.StartsWith($"paravane bench blk: nobody listens at '{path}'", error, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("bench blk --socket-path=/dev/null")]
    [InlineData("bench net --socket-path=/dev/null")]
    [InlineData("ctl /dev/null status")]
    public void A_path_of_something_else_is_said_to_be_no_socket(string line)
    {
        (int code, _, string error) = Run(line);
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("'/dev/null' is not a socket", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_may_begin_with_dashes_behind_an_equals_sign()
    {
        (int code, _, string error) = Run("run --kernel=/nonexistent/--kernel --append=--memory=1G --memory=1G");
        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("/nonexistent/--kernel", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--help", "bench")]
    [InlineData("bench blk --help", "--block-size")]
    [InlineData("bench net --help", "--frame-size")]
    [InlineData("demo --help", "--seconds")]
    [InlineData("run --help", "[default: 512M]")]
    [InlineData("bench blk --help", "[default: 4K]")]
    [InlineData("ctl --help", "add-vhost-user <KEY=VALUE,…>")]
    [InlineData("check --help", "kvm")]
    [InlineData("--version", "0.")]
    public void Help_and_version_go_to_standard_output_with_exit_code_0(string line, string expected)
    {
        (int code, string output, string error) = Run(line);
        Assert.Equal(ExitCode.Success, code);
        Assert.Contains(expected, output, StringComparison.Ordinal);
        Assert.Empty(error);
    }

    [Fact]
    public void What_was_lost_is_said_and_what_was_not_measured_is_no_number()
    {
        var result = new LoadResult { Seconds = 1, Done = 5, Bytes = 0, Latency = new LatencyHistogram(), Lost = 3, Errors = 0, Verified = 0, FirstError = null };
        var request = new BenchRequest { SocketPath = "/s", Format = RingFormat.Split, EventIndex = true, Verify = false, Json = true, SpinMicroseconds = 0, Cpus = [], Warmup = default, Runtime = default, HugePages = false };
        (int code, string output, string error) = Capture(() => BenchReport.Write("net", request, result, "Mpps", "mpps", 1, []));
        Assert.Equal(ExitCode.Failed, code);
        Assert.Equal("paravane bench net: 3 never came back\n", error);
        using var json = JsonDocument.Parse(output);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("p50_us").ValueKind);
        Assert.Equal("net", json.RootElement.GetProperty("device").GetString());
    }

    private static (int Code, string Output, string Error) Run(string line) => Capture(() => Program.Run(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));

    private static (int Code, string Output, string Error) Capture(Func<int> run)
    {
        TextWriter output = Console.Out, error = Console.Error;
        using var capturedOutput = new StringWriter();
        using var capturedError = new StringWriter();
        Console.SetOut(capturedOutput);
        Console.SetError(capturedError);
        try
        {
            int code = run();
            return (code, capturedOutput.ToString(), capturedError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}
