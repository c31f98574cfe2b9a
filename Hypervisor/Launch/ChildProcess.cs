using System.Collections;
using System.Diagnostics;
using System.Globalization;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Launch;

/// <summary>A child that inherits exactly one descriptor besides its standard ones, and is always reaped.</summary>
/// <remarks>
/// It gets a process group of its own, so that Ctrl-C on the terminal reaches only the parent, which then ends it in order. When the parent
/// dies instead, the child's socket reports the end of the stream. The end of its output is kept, to explain a failure.
/// One thread.
/// </remarks>
internal sealed unsafe class ChildProcess : IDisposable
{
    /// <summary>The number under which the child finds its descriptor: the first after the standard ones.</summary>
    public const int InheritedNumber = 3;

    /// <summary>For what a child wrote last to come through its pipe, after its end.</summary>
    private static readonly TimeSpan s_lastWords = TimeSpan.FromMilliseconds(500);

    private const int Killed = 9; // SIGKILL
    private const int Terminate = 15; // SIGTERM

    private readonly FileDescriptor _pidFd;
    private readonly ChildOutput _output;
    private int? _status;

    private ChildProcess(string name, int pid, FileDescriptor pidFd, ChildOutput output)
    {
        Name = name;
        Pid = pid;
        _pidFd = pidFd;
        _output = output;
    }

    /// <summary>File name of the program.</summary>
    public string Name { get; }

    /// <summary>Process id; its own until the child has been reaped.</summary>
    public int Pid { get; }

    /// <summary>Starts <paramref name="path"/>.</summary>
    /// <param name="path">The executable; no search.</param>
    /// <param name="arguments">Arguments after the program's name.</param>
    /// <param name="inherited">Becomes descriptor <see cref="InheritedNumber"/> of the child. Stays open here.</param>
    /// <param name="onLine">Gets each line that it writes, on a thread of its own.</param>
    /// <exception cref="LinuxException">The program cannot be started.</exception>
    public static ChildProcess Start(string path, IEnumerable<string> arguments, FileDescriptor inherited, Action<string>? onLine = null)
    {
        int* ends = stackalloc int[2];
        FileDescriptor.Check(LibC.pipe2(ends, LibC.O_CLOEXEC), "pipe2");
        var reading = new FileDescriptor(ends[0]);
        using var output = new FileDescriptor(ends[1]); // else its end would not be seen here
        try
        {
            using FileDescriptor input = OpenNull();
            int pid = Launch(path, [path, .. arguments], [input.Number, output.Number, output.Number, inherited.Number]);
            int pidFd = (int)Spawn.Syscall(Spawn.PidFdOpen, pid, 0);
            if (pidFd < 0)
            {
                int errno = Errno.Last;
                _ = LibC.kill(pid, Killed);
                int ignored;
                _ = Spawn.Wait(pid, &ignored, 0);
                throw new LinuxException(errno, "pidfd_open");
            }

            return new ChildProcess(Path.GetFileName(path), pid, new FileDescriptor(pidFd), new ChildOutput(reading, onLine));
        }
        catch
        {
            reading.Dispose();
            throw;
        }
    }

    /// <summary>Waits for the end of the child, up to <paramref name="timeout"/>.</summary>
    /// <returns>True when it has ended; <see cref="DescribeEnd"/> says how.</returns>
    public bool WaitForEnd(TimeSpan timeout)
    {
        if (_status is not null)
        {
            return true;
        }

        long deadline = Stopwatch.GetTimestamp() + (long)(timeout.TotalSeconds * Stopwatch.Frequency);
        if (!Polling.WaitUntil(_pidFd.Number, LibC.POLLIN, deadline))
        {
            return false;
        }

        int status;
        int reaped;
        do
        {
            reaped = Spawn.Wait(Pid, &status, Spawn.NoHang);
        }
        while (reaped < 0 && Errno.Last == Errno.EINTR);
        if (reaped == Pid)
        {
            _status = status;
        }

        return reaped == Pid;
    }

    /// <summary>Exit code, or null while it runs or after a signal ended it.</summary>
    public int? ExitCode => _status is int status && (status & 0x7f) == 0 ? (status >> 8) & 0xff : null;

    /// <summary>How it ended, with the last line it wrote; who was killed or told to end had nothing to say about it.</summary>
    public string DescribeEnd()
    {
        if (_status is int end && (end & 0x7f) is Killed or Terminate)
        {
            return $"{Name} was ended by signal {end & 0x7f}";
        }

        string how = _status switch
        {
            null => "is running",
            int status when (status & 0x7f) == 0 => $"ended with exit code {(status >> 8) & 0xff}",
            int status => $"was ended by signal {status & 0x7f}",
        };
        string? line = Output().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault();
        return line is null ? $"{Name} {how}" : $"{Name} {how}: {line}";
    }

    /// <summary>The end of what it wrote to its standard output and error.</summary>
    public string Output()
    {
        if (_status is not null)
        {
            _output.AwaitEnd(s_lastWords);
        }

        return _output.Text();
    }

    /// <summary>Processor time used so far, or null when the child has ended.</summary>
    public TimeSpan? ProcessorTime() => ProcessorTimeOf(Pid);

    /// <summary>Processor time that a process has used so far, or null when there is none.</summary>
    public static TimeSpan? ProcessorTimeOf(int pid)
    {
        try
        {
            string line = File.ReadAllText($"/proc/{pid}/stat");
            string[] fields = line[(line.LastIndexOf(')') + 2)..].Split(' '); // the name may contain blanks; field 3 comes after it
            long ticks = long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
            return TimeSpan.FromSeconds(ticks / 100.0); // USER_HZ is 100 on every architecture
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Asks the child to stop, kills it when it does not listen within <paramref name="patience"/>, and reaps it.</summary>
    public void Stop(TimeSpan patience)
    {
        if (_status is null && !WaitForEnd(TimeSpan.Zero))
        {
            _ = LibC.kill(Pid, Terminate);
            if (!WaitForEnd(patience))
            {
                _ = LibC.kill(Pid, Killed);
                _ = WaitForEnd(TimeSpan.FromSeconds(10));
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop(TimeSpan.Zero);
        _pidFd.Dispose();
    }

    private static int Launch(string path, string[] arguments, ReadOnlySpan<int> descriptors)
    {
        byte* actions = stackalloc byte[Spawn.OpaqueBytes];
        byte* attributes = stackalloc byte[Spawn.OpaqueBytes];
        ulong* signals = stackalloc ulong[16]; // sigset_t: 128 bytes
        new Span<ulong>(signals, 16).Clear();
        Check(Spawn.InitActions(actions), "posix_spawn_file_actions_init");
        Check(Spawn.InitAttributes(attributes), "posix_spawnattr_init");

        // The inherited number may be below 4 here, where an earlier action would overwrite it: a first copy goes out of the way.
        using FileDescriptor source = DuplicateAbove(descriptors[^1], 16);
        using FileDescriptor output = DuplicateAbove(descriptors[1], 16);
        using FileDescriptor input = DuplicateAbove(descriptors[0], 16);
        Check(Spawn.AddDup2(actions, input.Number, 0), "posix_spawn_file_actions_adddup2");
        Check(Spawn.AddDup2(actions, output.Number, 1), "posix_spawn_file_actions_adddup2");
        Check(Spawn.AddDup2(actions, output.Number, 2), "posix_spawn_file_actions_adddup2");
        Check(Spawn.AddDup2(actions, source.Number, InheritedNumber), "posix_spawn_file_actions_adddup2");
        Check(Spawn.AddCloseFrom(actions, InheritedNumber + 1), "posix_spawn_file_actions_addclosefrom_np");

        // The runtime ignores SIGPIPE, and an ignored signal stays ignored across exec; nothing is blocked in the child.
        Check(Spawn.SetBlockedSignals(attributes, signals), "posix_spawnattr_setsigmask");
        signals[0] = (1UL << (13 - 1)) | (1UL << (2 - 1)) | (1UL << (3 - 1)) | (1UL << (15 - 1)) | (1UL << (17 - 1)) | (1UL << (1 - 1));
        Check(Spawn.SetDefaultSignals(attributes, signals), "posix_spawnattr_setsigdefault");
        Check(Spawn.SetGroup(attributes, 0), "posix_spawnattr_setpgroup");
        Check(Spawn.SetFlags(attributes, Spawn.OwnGroupAndDefaultSignals), "posix_spawnattr_setflags");
        try
        {
            using var argumentBlock = new StringBlock(arguments);
            using var environmentBlock = new StringBlock(InheritedEnvironment());
            int pid;
            int errno = Spawn.Start(&pid, argumentBlock.Pointers[0], actions, attributes, argumentBlock.Pointers, environmentBlock.Pointers);
            return errno == 0 ? pid : throw new LinuxException(errno, "posix_spawn", path);
        }
        finally
        {
            _ = Spawn.DestroyActions(actions);
            _ = Spawn.DestroyAttributes(attributes);
        }
    }

    /// <summary>This process's environment without the settings of back-ends: the arguments say all of it, and a setting meant for another one could contradict them.</summary>
    private static IEnumerable<string> InheritedEnvironment() => Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
        .Where(entry => !((string)entry.Key).StartsWith("PARAVANE_", StringComparison.Ordinal))
        .Select(entry => $"{entry.Key}={entry.Value}");

    private static FileDescriptor DuplicateAbove(int fd, int lowest) =>
        new(FileDescriptor.Check(LibC.fcntl(fd, LibC.F_DUPFD_CLOEXEC, lowest), "fcntl"));

    private static FileDescriptor OpenNull()
    {
        fixed (byte* path = "/dev/null\0"u8)
        {
            return new FileDescriptor(FileDescriptor.Check(LibC.open(path, LibC.O_RDWR | LibC.O_CLOEXEC), "open", "/dev/null"));
        }
    }

    private static void Check(int errno, string call)
    {
        if (errno != 0)
        {
            throw new LinuxException(errno, call);
        }
    }
}
