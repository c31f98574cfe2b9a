using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary><c>paravane bench blk --verify</c> against <c>paravane-blk</c>: ring formats, features, notification and queues in all combinations.</summary>
[Collection(BusyMachine.Name)]
public sealed class BenchDiskTests
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(30);
    private static readonly string[] s_switch = ["on", "off"];

    /// <summary>Ring format, event index, indirect, notification.</summary>
    public static TheoryData<string, string, string, string> Combinations()
    {
        TheoryData<string, string, string, string> rows = [];
        foreach (string ring in (string[])["split", "packed"])
        {
            foreach (string eventIndex in s_switch)
            {
                foreach (string indirect in s_switch)
                {
                    rows.Add(ring, eventIndex, indirect, "poll");
                    rows.Add(ring, eventIndex, indirect, "eventfd");
                }
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void A_file_keeps_what_was_written_on_one_queue(string ring, string eventIndex, string indirect, string notify)
    {
        using var directory = TemporaryDirectory.Create();
        Verify($"--blk-file={Image(directory)}", 1, directory, ring, eventIndex, indirect, notify);
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void A_disk_in_memory_keeps_what_was_written_on_two_queues(string ring, string eventIndex, string indirect, string notify)
    {
        using var directory = TemporaryDirectory.Create();
        Verify("--blk-ram=32M", 2, directory, ring, eventIndex, indirect, notify);
    }

    [Theory]
    [InlineData("split")]
    [InlineData("packed")]
    public void Large_requests_keep_what_was_written(string ring)
    {
        using var directory = TemporaryDirectory.Create();
        Verify($"--blk-file={Image(directory)}", 2, directory, ring, "on", "on", "eventfd", "--block-size=128K", "--depth=8");
    }

    private static string Image(TemporaryDirectory directory)
    {
        string path = directory.File("disk.img");
        using FileStream file = File.Create(path);
        file.SetLength(32 << 20);
        return path;
    }

    private static void Verify(
        string store, int queues, TemporaryDirectory directory, string ring, string eventIndex, string indirect, string notify, params string[] more)
    {
        string socket = directory.File("blk.sock");
        using ChildProcess backend = BlockBackend.Start(socket, store, queues, s_lifetime, cpu: null);
        string[] options =
        [
            $"--ring={ring}", $"--event-idx={eventIndex}", $"--indirect={indirect}", $"--notify={notify}", $"--queues={queues}",
            "--rw=randrw", "--size=8M", "--verify", "--runtime=300ms", "--warmup=0s", .. more,
        ];
        BenchResult result = BenchCommand.Run("blk", socket, options, s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Verified > 0);
        Assert.Equal(0, backend.Stop());
    }
}
