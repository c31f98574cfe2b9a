using System.CommandLine;
using Paravane.VhostServer.Hosting;
using Paravane.VhostServer.Tests.Support;

namespace Paravane.VhostServer.Tests.Hosting;

public sealed class BackendProgramTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("paravane-").FullName;
    private readonly Option<int> _depth = new("--depth") { HelpName = "N", DefaultValueFactory = _ => 4, Description = "How deep. Example: --depth=8" };
    private bool _wasCreated;
    private int _seenDepth;

    [Theory]
    [InlineData("--socket-path=/tmp/x", "--bogus", "--bogus is not an option")]
    [InlineData("--socket-path=/tmp/x", "--dept=3", "did you mean --depth?")]
    [InlineData("--socket-path=/tmp/x", "stray", "stray is not an option")]
    [InlineData("--socket-path=/tmp/x", "--depth=deep", "--depth=deep")]
    [InlineData("--socket-path=/tmp/x", "--poll=sometimes", "--poll=sometimes")]
    [InlineData("--socket-path=/tmp/x", "--poll=-1", "--poll=-1")]
    [InlineData("--socket-path=/tmp/x", "--cpus=3-1", "--cpus=3-1")]
    [InlineData("--socket-path=/tmp/x", "--cpus=1024", "--cpus=1024")]
    [InlineData("--socket-path=/tmp/x", "--log-level=loud", "--log-level=loud")]
    [InlineData("--socket-path=/tmp/x", "--fd=3", "--socket-path and --fd")]
    [InlineData("--socket-path=/tmp/x", "--socket-path=/tmp/y", "--socket-path is given twice")]
    [InlineData("--cpus=1", "--cpus=2", "--cpus is given twice")]
    [InlineData("--socket-path=/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "--poll=off", "not 108")]
    [InlineData("--fd=999999", "--poll=off", "--fd=999999: is not open")]
    [InlineData("--client", "--fd=3", "--client and --fd")]
    [InlineData("--client", "--poll=off", "--socket-path is missing")]
    [InlineData("--socket-path=/tmp/x", "--config=/nowhere.json", "--config=/nowhere.json")]
    public void Misuse_is_one_line_that_names_the_option_with_exit_code_2_and_nothing_created(string first, string second, string expected)
    {
        (int code, string output, string error) = Run(first, second);
        Assert.Equal(2, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.StartsWith("tester: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd('\n').Split('\n'));
        Assert.Empty(output);
        Assert.False(_wasCreated);
    }

    [Fact]
    public void Print_capabilities_ignores_everything_else()
    {
        (int code, string output, string error) = Run("--bogus", "--print-capabilities", "--fd=zero");
        Assert.Equal((0, "{\"type\":\"block\",\"features\":[\"blk-file\",\"read-only\"]}\n", string.Empty), (code, output, error));
    }

    [Fact]
    public void Help_lists_every_option_with_its_default_and_an_example()
    {
        (int code, string output, _) = Run("--help");
        Assert.Equal(0, code);
        foreach (string option in (string[])["--depth", "--socket-path", "--fd", "--client", "--poll", "--cpus", "--log-level", "--config", "--print-capabilities", "--help", "--version"])
        {
            int at = output.IndexOf($"\n  {option}", StringComparison.Ordinal);
            Assert.True(at >= 0, option);
            int next = output.IndexOf("\n  --", at + 3, StringComparison.Ordinal);
            string section = next < 0 ? output[at..] : output[at..next];
            Assert.Contains("Example:", section, StringComparison.Ordinal);
            Assert.Contains("Default: ", section, StringComparison.Ordinal);
        }

        Assert.Contains("Default: 200", output, StringComparison.Ordinal);
        Assert.Contains("Default: 4", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Version_is_one_line() => Assert.Matches("^tester [0-9]+[.][0-9]+[.][0-9]+", Run("--version").Output);

    [Fact]
    public void A_device_that_cannot_start_is_one_line_with_exit_code_1_and_no_socket()
    {
        string path = Path.Combine(_directory, "s");
        (int code, _, string error) = Run($"--socket-path={path}", "--depth=13");
        Assert.Equal((1, "tester: thirteen is too deep\n"), (code, error));
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void Options_come_from_the_command_line_then_the_environment_then_the_file()
    {
        string file = Path.Combine(_directory, "options.json");
        File.WriteAllText(file, """{ "depth": 13, "socket-path": "/nowhere/at/all/s" }""");
        Assert.Equal(1, Run($"--config={file}").Code);
        Assert.Equal(13, _seenDepth);
        Environment.SetEnvironmentVariable("PARAVANE_DEPTH", "7");
        try
        {
            Assert.Equal(1, Run($"--config={file}").Code); // the directory of the socket does not exist
            Assert.Equal(7, _seenDepth);
            Assert.Equal(1, Run($"--config={file}", "--depth=5").Code);
            Assert.Equal(5, _seenDepth);
            Environment.SetEnvironmentVariable("PARAVANE_DEPTH", "x");
            Assert.Contains("--depth=x", Run($"--config={file}").Error, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable("PARAVANE_DEPTH", null);
        }

        File.WriteAllText(file, """{ "dept": 13 }""");
        (int code, _, string error) = Run($"--config={file}");
        Assert.Equal(2, code);
        Assert.Contains("'dept' is not an option", error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_server_starts_with_the_host_and_an_unusable_socket_is_exit_code_1()
    {
        string path = Path.Combine(_directory, "occupied");
        File.WriteAllText(path, string.Empty);
        (int code, _, string error) = Run($"--socket-path={path}");
        Assert.Equal(1, code);
        Assert.Contains(path, error, StringComparison.Ordinal);
        Assert.True(_wasCreated);
    }

    [Theory]
    [InlineData("off", 0)]
    [InlineData("always", int.MaxValue)]
    [InlineData("0", 0)]
    [InlineData("1000000", 1000000)]
    public void Poll_settings_are_read_and_written(string text, int cap)
    {
        Assert.True(PollSetting.TryParse(text, out PollSetting setting));
        Assert.Equal(cap, setting.CapMicroseconds);
        Assert.True(PollSetting.TryParse(setting.ToString(), out PollSetting again));
        Assert.Equal(setting, again);
    }

    [Fact]
    public void Cpu_lists_keep_their_order()
    {
        Assert.True(CpuList.TryParse("4-6,2,2", out int[] cpus));
        Assert.Equal([4, 5, 6, 2, 2], cpus);
        foreach (string bad in (string[])["", ",", "a", "1-", "-1", "1--2", "2-1", "0x1", " 1", "1-1024"])
        {
            Assert.False(CpuList.TryParse(bad, out _), bad);
        }
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private (int Code, string Output, string Error) Run(params string[] args)
    {
        TextWriter oldOutput = Console.Out, oldError = Console.Error;
        using var output = new StringWriter();
        using var error = new StringWriter();
        Console.SetOut(output);
        Console.SetError(error);
        try
        {
            int code = new BackendProgram
            {
                Name = "tester",
                Description = "serves a test",
                DeviceType = "block",
                Capabilities = ["blk-file", "read-only"],
                Options = [_depth],
                CreateDevice = options =>
                {
                    _wasCreated = true;
                    _seenDepth = options.Get(_depth);
                    return _seenDepth == 13 ? throw new StartException("thirteen is too deep") : new EchoDevice();
                },
            }.Run(args);
            return (code, output.ToString(), error.ToString());
        }
        finally
        {
            Console.SetOut(oldOutput);
            Console.SetError(oldError);
        }
    }
}
