using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>Our driver side on a device side that nobody here wrote: <c>paravane bench blk</c> against qemu-storage-daemon.</summary>
[Collection(BusyMachine.Name)]
public sealed class ForeignDiskTests
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("--notify=poll", "--queues=1", "--depth=1", "--indirect=on")]
    [InlineData("--notify=poll", "--queues=2", "--depth=64", "--indirect=off")]
    [InlineData("--notify=eventfd", "--queues=1", "--depth=1", "--indirect=off")]
    [InlineData("--notify=eventfd", "--queues=2", "--depth=64", "--indirect=on")]
    public void A_null_disk_answers_every_request(params string[] options)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("blk.sock");
        using ChildProcess daemon = StorageDaemon.Start(socket, StorageDaemon.NullDisk(64 << 20), 2, s_lifetime);
        BenchResult result = BenchCommand.Run("blk", socket, [.. options, "--rw=randrw", "--runtime=300ms", "--warmup=100ms"], s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Rate > 0);
    }

    [Theory]
    [InlineData("--notify=poll", "--queues=1", "--indirect=on", "--event-idx=on")]
    [InlineData("--notify=poll", "--queues=2", "--indirect=off", "--event-idx=off")]
    [InlineData("--notify=eventfd", "--queues=1", "--indirect=off", "--event-idx=on")]
    [InlineData("--notify=eventfd", "--queues=2", "--indirect=on", "--event-idx=off")]
    [InlineData("--notify=eventfd", "--queues=2", "--indirect=on", "--event-idx=on", "--block-size=64K", "--depth=8")]
    public void A_file_keeps_what_was_written(params string[] options)
    {
        using var directory = TemporaryDirectory.CreateOnTmpfs();
        string socket = directory.File("blk.sock");
        string image = directory.File("disk.img");
        using (FileStream file = File.Create(image))
            file.SetLength(32 << 20);
        using ChildProcess daemon = StorageDaemon.Start(socket, StorageDaemon.FileDisk(image, "threads"), 2, s_lifetime);
        string[] all = [.. options, "--rw=randrw", "--size=16M", "--verify", "--runtime=500ms", "--warmup=0s"];
        BenchResult result = BenchCommand.Run("blk", socket, all, s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Verified > 0);
    }
}
