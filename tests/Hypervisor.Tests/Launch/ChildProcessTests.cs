using System.Text;
using Paravane.Hypervisor.Launch;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Launch;

public sealed unsafe class ChildProcessTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);

    [Fact]
    public void A_child_inherits_the_wanted_descriptor_and_no_other()
    {
        // Open across exec on purpose, below and far above the wanted one.
        using var leak = new FileDescriptor(FileDescriptor.Check(LibC.eventfd(0, 0), "eventfd"));
        using var highLeak = new FileDescriptor(FileDescriptor.Check(LibC.fcntl(leak.Number, LibC.F_DUPFD, 500), "fcntl"));
        using var wanted = new EventFd();
        using ChildProcess child = ChildProcess.Start("/bin/ls", ["-l", "/proc/self/fd"], wanted);
        Assert.True(child.WaitForEnd(s_limit));
        Assert.Equal(0, child.ExitCode);

        // "… 3 -> anon_inode:[eventfd]"; the program's own descriptor of the folder it lists is not inherited.
        string[] open = [.. child.Output().Split('\n').Where(line => line.Contains(" -> ", StringComparison.Ordinal) && !line.Contains("-> /proc/", StringComparison.Ordinal))];
        Assert.Equal(["0", "1", "2", "3"], open.Select(line => line.Split(" -> ")[0].Split(' ')[^1]));
        Assert.EndsWith("-> anon_inode:[eventfd]", open[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void The_inherited_descriptor_works()
    {
        int* pair = stackalloc int[2];
        FileDescriptor.Check(LibC.socketpair(LibC.AF_UNIX, LibC.SOCK_STREAM | LibC.SOCK_CLOEXEC, 0, pair), "socketpair");
        using var ours = new FileDescriptor(pair[0]);
        using var theirs = new FileDescriptor(pair[1]);
        using ChildProcess child = ChildProcess.Start("/bin/sh", ["-c", "echo hello >&3"], theirs);
        Assert.True(child.WaitForEnd(s_limit));
        byte* buffer = stackalloc byte[16];
        long count = LibC.read(ours.Number, buffer, 16);
        Assert.Equal("hello\n", Encoding.ASCII.GetString(buffer, (int)count));
    }

    [Fact]
    public void Exit_code_and_last_words_are_told()
    {
        using var wanted = new EventFd();
        using ChildProcess child = ChildProcess.Start("/bin/sh", ["-c", "echo first; echo the reason >&2; exit 7"], wanted);
        Assert.True(child.WaitForEnd(s_limit));
        Assert.Equal(7, child.ExitCode);
        Assert.Equal("sh ended with exit code 7: the reason", child.DescribeEnd());
    }

    [Fact]
    public void Of_a_flood_the_end_is_kept_and_each_line_is_passed_on_without_what_steers_a_terminal()
    {
        using var wanted = new EventFd();
        var lines = new List<string>();
        using ChildProcess child = ChildProcess.Start(
            "/bin/sh", ["-c", "yes 0123456789012345678901234567890 | head -n 100000; head -c 2500 /dev/zero | tr '\\0' x; printf '\\nlast\\033[2J\\n'"], wanted, lines.Add);
        Assert.True(child.WaitForEnd(s_limit));
        string kept = child.Output();
        Assert.InRange(kept.Length, 10_000, 16 << 10);
        Assert.EndsWith("\nlast\uFFFD[2J\n", kept, StringComparison.Ordinal);
        Assert.Equal("sh ended with exit code 0: last\uFFFD[2J", child.DescribeEnd());
        Assert.Equal(100_000, lines.Count(line => line.StartsWith("0123", StringComparison.Ordinal)));
        Assert.Equal([1000, 1000, 500], lines.Where(line => line.StartsWith('x')).Select(line => line.Length));
        Assert.Equal("last\uFFFD[2J", lines[^1]);
    }

    [Fact]
    public void A_child_that_does_not_listen_is_killed_and_reaped()
    {
        using var wanted = new EventFd();
        int pid;
        using (ChildProcess child = ChildProcess.Start("/bin/sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], wanted))
        {
            pid = child.Pid;
            Assert.True(SpinWait.SpinUntil(() => child.Output().Contains("ready", StringComparison.Ordinal), s_limit));
            Assert.False(child.WaitForEnd(TimeSpan.Zero));
            child.Stop(TimeSpan.FromMilliseconds(50));
            Assert.True(child.WaitForEnd(TimeSpan.Zero));
            Assert.Null(child.ExitCode);
            Assert.Equal("sh was ended by signal 9", child.DescribeEnd());
        }

        Assert.False(Directory.Exists($"/proc/{pid}"), "a zombie was left");
    }

    [Fact]
    public void Disposing_ends_the_child()
    {
        using var wanted = new EventFd();
        int pid;
        using (ChildProcess child = ChildProcess.Start("/bin/sleep", ["1000"], wanted))
        {
            pid = child.Pid;
            Assert.NotNull(child.ProcessorTime());
        }

        Assert.False(Directory.Exists($"/proc/{pid}"));
    }

    [Fact]
    public void A_child_has_a_process_group_of_its_own_and_ordinary_signals()
    {
        using var wanted = new EventFd();
        using ChildProcess sleeper = ChildProcess.Start("/bin/sleep", ["1000"], wanted);
        const int GroupField = 4;
        string group = File.ReadAllText($"/proc/{sleeper.Pid}/stat").Split(' ')[GroupField];
        Assert.Equal(sleeper.Pid.ToString(System.Globalization.CultureInfo.InvariantCulture), group);

        using ChildProcess child = ChildProcess.Start("/bin/grep", ["-E", "SigBlk|SigIgn", "/proc/self/status"], wanted);
        Assert.True(child.WaitForEnd(s_limit));
        string[] lines = child.Output().Split('\n');
        Assert.Equal("SigBlk:\t0000000000000000", lines[0]);
        const ulong Pipe = 1UL << 12;
        Assert.Equal(0UL, Convert.ToUInt64(lines[1].Split('\t')[1], 16) & Pipe);
    }

    [Fact]
    public void A_program_that_is_not_there_is_an_error_with_its_path()
    {
        using var wanted = new EventFd();
        LinuxException error = Assert.Throws<LinuxException>(() => ChildProcess.Start("/nonexistent/program", [], wanted));
        Assert.Contains("/nonexistent/program", error.Message, StringComparison.Ordinal);
    }
}
