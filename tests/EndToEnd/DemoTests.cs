using System.Globalization;
using System.Text.RegularExpressions;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>What <c>make run</c> shows: <c>paravane demo</c> with the two back-ends beside it.</summary>
public sealed class DemoTests(ITestOutputHelper output)
{
    private const int Interrupt = 2; // SIGINT
    private const int Kill = 9; // SIGKILL

    /// <summary>The goal is 30 ms; a machine that builds something else meanwhile takes several times that.</summary>
    private const double StartLimitMilliseconds = 240;

    private const double PrivateLimitMebibytes = 20;

    private static readonly TimeSpan s_lifetime = TimeSpan.FromMinutes(2);

    /// <summary>Null where the guest can drive.</summary>
    private static string? WhyNoGuest
    {
        get
        {
            try
            {
                using var file = File.OpenHandle("/dev/kvm", FileMode.Open, FileAccess.ReadWrite);
                return null;
            }
            catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
            {
                return problem.Message;
            }
        }
    }

    [Theory, InlineData("guest"), InlineData("host")]
    public void The_demo_ends_with_a_summary_of_checked_data_and_leaves_nothing_behind(string driver)
    {
        using ChildProcess demo = Start(driver, 3);
        int[] backEnds = BackEndsOf(demo);
        Assert.Equal(0, demo.WaitForExit(s_lifetime));
        Assert.Contains("All in order:", demo.Output, StringComparison.Ordinal);
        Assert.Contains("none lost, none twice, none out of order, every byte right", demo.Output, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
        output.WriteLine(demo.Output);
        if (driver == "guest")
        {
            Assert.Contains("exits 0 to this process while all that flowed", demo.Output, StringComparison.Ordinal);
            Match figures = Regex.Match(demo.Output, "start ([0-9.]+) ms .*; ([0-9.]+) MiB of private memory");
            Assert.True(figures.Success);
            Assert.InRange(double.Parse(figures.Groups[1].Value, CultureInfo.InvariantCulture), 1, StartLimitMilliseconds);
            Assert.InRange(double.Parse(figures.Groups[2].Value, CultureInfo.InvariantCulture), 1, PrivateLimitMebibytes);
        }
    }

    [Fact]
    public void The_demo_says_which_driver_it_takes_and_why()
    {
        using ChildProcess demo = ChildProcess.Start(Programs.Paravane, ["demo", "--seconds=1"], s_lifetime);
        Assert.Equal(0, demo.WaitForExit(s_lifetime));
        Assert.Contains(WhyNoGuest is null ? "/dev/kvm opens, so a guest of one vCPU" : "No guest can run here (", demo.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("paravane-blk", "guest")]
    [InlineData("paravane-net", "guest")]
    [InlineData("paravane-blk", "host")]
    [InlineData("paravane-net", "host")]
    public void A_back_end_that_dies_ends_the_demo_with_the_reason_and_exit_code_1(string victim, string driver)
    {
        using ChildProcess demo = Start(driver, 60);
        int[] backEnds = BackEndsOf(demo);
        Signal(backEnds.Single(id => NameOf(id) == victim), Kill);
        Assert.Equal(1, demo.WaitForExit(s_lifetime));
        Assert.Contains($"paravane demo: {victim} was ended by signal 9", demo.Transcript, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
    }

    [Theory, InlineData("guest"), InlineData("host")]
    public void Ctrl_C_ends_the_demo_in_order(string driver)
    {
        using ChildProcess demo = Start(driver, 60);
        int[] backEnds = BackEndsOf(demo);
        Signal(demo.ProgramId, Interrupt);
        Assert.Equal(0, demo.WaitForExit(s_lifetime));
        Assert.Contains("Stopped early, all in order:", demo.Output, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
    }

    [Theory, InlineData("guest"), InlineData("host")]
    public void Back_ends_do_not_outlive_a_demo_that_was_killed(string driver)
    {
        using ChildProcess demo = Start(driver, 60);
        int[] backEnds = BackEndsOf(demo);
        Signal(demo.ProgramId, Kill);
        _ = demo.WaitForExit(s_lifetime);
        Assert.True(SpinWait.SpinUntil(() => !backEnds.Any(IsAlive), s_lifetime), "a back-end is still there");
    }

    /// <summary>Starts a demo; skips where that driver is not possible, saying why.</summary>
    private static ChildProcess Start(string driver, int seconds)
    {
        Assert.SkipWhen(driver == "guest" && WhyNoGuest is not null, WhyNoGuest ?? string.Empty);
        return ChildProcess.Start(Programs.Paravane, ["demo", $"--seconds={seconds}", $"--driver={driver}"], s_lifetime);
    }

    /// <summary>Process ids of the two back-ends, once data flows.</summary>
    private static int[] BackEndsOf(ChildProcess demo)
    {
        Assert.True(SpinWait.SpinUntil(() => demo.HasExited || demo.Output.Contains("IOPS", StringComparison.Ordinal), s_lifetime));
        Assert.False(demo.HasExited, demo.Transcript);
        string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{demo.ProgramId}/task/{demo.ProgramId}/children");
        int[] ids = [.. File.ReadAllText(path).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
        Assert.Equal(["paravane-blk", "paravane-net"], ids.Select(NameOf).Order(StringComparer.Ordinal));
        return ids;
    }

    private static string NameOf(int id) => File.ReadAllText($"/proc/{id}/comm").Trim();

    /// <summary>A zombie whose parent was killed is dead too, though init may take its time.</summary>
    private static bool IsAlive(int id)
    {
        try
        {
            string line = File.ReadAllText($"/proc/{id}/stat");
            return line[line.LastIndexOf(')') + 2] != 'Z';
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static void Signal(int id, int signal) => Assert.Equal(0, Tmds.Linux.LibC.kill(id, signal));
}
