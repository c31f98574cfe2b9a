using System.Globalization;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>What <c>make run</c> shows: <c>paravane demo</c> with the two back-ends beside it.</summary>
public sealed class DemoTests
{
    private const int Interrupt = 2; // SIGINT
    private const int Kill = 9; // SIGKILL

    private static readonly TimeSpan s_lifetime = TimeSpan.FromMinutes(2);

    [Fact]
    public void The_demo_ends_with_a_summary_of_checked_data_and_leaves_nothing_behind()
    {
        using ChildProcess demo = ChildProcess.Start(Programs.Paravane, ["demo", "--seconds=3"], s_lifetime);
        int[] backEnds = BackEndsOf(demo);
        Assert.Equal(0, demo.WaitForExit(s_lifetime));
        Assert.Contains("All in order:", demo.Output, StringComparison.Ordinal);
        Assert.Contains("none lost, none twice, none out of order, every byte right", demo.Output, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
    }

    [Theory]
    [InlineData("paravane-blk")]
    [InlineData("paravane-net")]
    public void A_back_end_that_dies_ends_the_demo_with_the_reason_and_exit_code_1(string victim)
    {
        using ChildProcess demo = ChildProcess.Start(Programs.Paravane, ["demo", "--seconds=60"], s_lifetime);
        int[] backEnds = BackEndsOf(demo);
        Signal(backEnds.Single(id => NameOf(id) == victim), Kill);
        Assert.Equal(1, demo.WaitForExit(s_lifetime));
        Assert.Contains($"paravane demo: {victim} was ended by signal 9", demo.Transcript, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
    }

    [Fact]
    public void Ctrl_C_ends_the_demo_in_order()
    {
        using ChildProcess demo = ChildProcess.Start(Programs.Paravane, ["demo", "--seconds=60"], s_lifetime);
        int[] backEnds = BackEndsOf(demo);
        Signal(demo.ProgramId, Interrupt);
        Assert.Equal(0, demo.WaitForExit(s_lifetime));
        Assert.Contains("Stopped early, all in order:", demo.Output, StringComparison.Ordinal);
        Assert.All(backEnds, id => Assert.False(IsAlive(id)));
    }

    [Fact]
    public void Back_ends_do_not_outlive_a_demo_that_was_killed()
    {
        using ChildProcess demo = ChildProcess.Start(Programs.Paravane, ["demo", "--seconds=60"], s_lifetime);
        int[] backEnds = BackEndsOf(demo);
        Signal(demo.ProgramId, Kill);
        _ = demo.WaitForExit(s_lifetime);
        Assert.True(SpinWait.SpinUntil(() => !backEnds.Any(IsAlive), s_lifetime), "a back-end is still there");
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
