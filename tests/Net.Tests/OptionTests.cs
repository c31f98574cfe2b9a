
namespace Paravane.Backends.Net.Tests;

/// <summary>What the program says to wrong options: one line, exit code 2, nothing created.</summary>
[Collection(nameof(OptionTests))]
public sealed class OptionTests
{
    private const string Socket = "--socket-path=/nonexistent/paravane.sock";

    [Theory]
    [InlineData("--net", Socket)]
    [InlineData("--net", "--net=", Socket)]
    [InlineData("--net=switch", "--net=switch", Socket)]
    [InlineData("--net=Loop", "--net=Loop", Socket)]
    [InlineData("visible characters", "--net=tap:", Socket)]
    [InlineData("visible characters", "--net=tap:sixteencharacter", Socket)]
    [InlineData("visible characters", "--net=tap:a/b", Socket)]
    [InlineData("--queue-pairs=0", "--net=loop", "--queue-pairs=0", Socket)]
    [InlineData("--queue-pairs=128", "--net=loop", "--queue-pairs=128", Socket)]
    [InlineData("--queue-pairs", "--net=loop", "--queue-pairs=two", Socket)]
    [InlineData("--queue-size=0", "--net=loop", "--queue-size=0", Socket)]
    [InlineData("--queue-size=65536", "--net=loop", "--queue-size=65536", Socket)]
    [InlineData("power of two", "--net=loop", "--queue-size=300", Socket)]
    [InlineData("--mac=53:54:00:12:34:56", "--net=loop", "--mac=53:54:00:12:34:56", Socket)]
    [InlineData("--mtu=67", "--net=loop", "--mtu=67", Socket)]
    [InlineData("--mtu=65536", "--net=loop", "--mtu=65536", Socket)]
    [InlineData("--frame-size goes with --net=source", "--net=loop", "--frame-size=64", Socket)]
    [InlineData("--frame-size=59", "--net=source", "--frame-size=59", Socket)]
    [InlineData("--frame-size=1519", "--net=source", "--frame-size=1519", Socket)]
    [InlineData("--workers=many", "--net=loop", "--workers=many", Socket)]
    [InlineData("--socket-path", "--net=loop")]
    [InlineData("--uplink", "--net=loop", "--uplink=tap:x", Socket)]
    public void Wrong_options_are_named_in_one_line(string named, params string[] args)
    {
        (int exitCode, string error) = Run(args);
        Assert.Equal(2, exitCode);
        Assert.Contains(named, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    [Fact]
    public void A_tap_that_cannot_be_had_ends_the_start_with_exit_code_1_and_advice()
    {
        (int exitCode, string error) = Run("--net=tap:lo", Socket);
        Assert.Equal(1, exitCode);
        Assert.StartsWith("paravane-net: tap 'lo': ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    private static (int ExitCode, string Error) Run(params string[] args)
    {
        using var captured = new StringWriter();
        TextWriter before = Console.Error;
        Console.SetError(captured);
        try
        {
            return (NetProgram.Run(args), captured.ToString());
        }
        finally
        {
            Console.SetError(before);
        }
    }
}
