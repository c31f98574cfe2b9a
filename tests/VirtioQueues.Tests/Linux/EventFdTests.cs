using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VirtioQueues.Tests.Linux;

public sealed unsafe class EventFdTests
{
    [Fact]
    public void A_signal_is_seen_once_however_often_it_was_given()
    {
        using var fd = new EventFd();
        Assert.False(fd.Drain());
        Assert.True(fd.Signal() && fd.Signal());
        Assert.True(fd.Drain());
        Assert.False(fd.Drain());
    }

    [Fact]
    public void R14_a_full_counter_neither_blocks_nor_fails()
    {
        using var fd = new EventFd();
        ulong full = ulong.MaxValue - 1;
        Assert.Equal(8, (int)LibC.write(fd.Number, &full, 8));
        Assert.True(fd.Signal());
        Assert.True(fd.Drain());
        Assert.False(fd.Drain());
    }

    [Fact]
    public void M8_a_full_pipe_neither_blocks_nor_fails_and_a_closed_one_is_told()
    {
        int* ends = stackalloc int[2];
        Assert.Equal(0, LibC.pipe2(ends, LibC.O_CLOEXEC));
        var reader = new EventFd(ends[0]);
        using var writer = new EventFd(ends[1]);
        reader.SetNonBlocking();
        writer.SetNonBlocking();
        for (int i = 0; i < 100_000; i++)
        {
            Assert.True(writer.Signal()); // fills the pipe long before the last
        }

        int drained = 0;
        while (reader.Drain())
        {
            drained++;
        }

        Assert.True(drained > 1);
        Assert.True(writer.Signal());
        Assert.True(reader.Drain());
        reader.Dispose();
        Assert.False(writer.Signal());
    }

    [Fact]
    public void An_epoll_set_reports_tags_until_they_are_drained_or_removed()
    {
        using var set = new Epoll();
        using EventFd a = new(), b = new();
        set.Add(a.Number, 7);
        set.Add(b.Number, 9);
        ulong[] tags = new ulong[4];
        Assert.Equal(0, set.Wait(tags, 0));
        a.Signal();
        b.Signal();
        Assert.Equal(2, set.Wait(tags, 1000));
        Assert.Equal([7UL, 9UL], tags.Take(2).Order());
        a.Drain();
        Assert.Equal(1, set.Wait(tags, 1000));
        Assert.Equal(9u, tags[0]);
        set.Remove(b.Number);
        Assert.Equal(0, set.Wait(tags, 0));
        Assert.Throws<LinuxException>(() => set.Remove(b.Number));
    }
}
