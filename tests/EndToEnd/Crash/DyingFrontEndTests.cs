using System.Diagnostics;
using System.Globalization;
using Paravane.Peers;

namespace Paravane.EndToEnd.Crash;

/// <summary>Front-ends that are killed while their rings are full.</summary>
[Collection(BusyMachine.Name)]
public sealed class DyingFrontEndTests
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("blk", "--blk-ram=64M")]
    [InlineData("blk", "--blk-file=")]
    [InlineData("net", "--net=loop")]
    public void I6_a_front_end_that_dies_in_the_middle_of_its_work_leaves_no_mapping_and_the_next_one_is_served(string device, string option)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s");
        if (option == "--blk-file=")
        {
            option += directory.File("image");
            using FileStream image = File.Create(directory.File("image"));
            image.SetLength(64 << 20);
        }

        using ChildProcess backEnd = BackEnd.Start(device == "blk" ? Programs.Block : Programs.Net, socket, option, "--poll=off");
        for (int life = 0; life < 5; life++)
        {
            using ChildProcess frontEnd = BenchCommand.Start(device, socket, ["--runtime=60s", "--warmup=0s"], s_lifetime);
            Await(() => GuestMappings(backEnd) > 0, "no guest memory is mapped");
            Thread.Sleep(50 + (life * 30));
            Assert.False(frontEnd.HasExited, frontEnd.Transcript);
            frontEnd.Signal(9);
            Await(() => GuestMappings(backEnd) == 0, "guest memory stays mapped");
        }

        BenchResult result = BenchCommand.Run(device, socket, ["--runtime=200ms", "--warmup=0s"], s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Rate > 0);
        Assert.Equal(0, backEnd.Stop());
    }

    private static int GuestMappings(ChildProcess process) =>
        File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{process.ProgramId}/maps")).Count(line => line.Contains("/memfd:paravane-guest", StringComparison.Ordinal));

    private static void Await(Func<bool> condition, string otherwise)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 10, otherwise);
            Thread.Sleep(5);
        }
    }
}
