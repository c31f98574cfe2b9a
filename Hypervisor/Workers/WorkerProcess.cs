using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Launch;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Workers;

/// <summary>A back-end of our own: one process for one device, on one end of a socket pair, started anew for every connection.</summary>
/// <remarks>
/// A worker ends by itself when its socket does, so that none outlives this process however it dies. The last line of its output explains a failure.
/// </remarks>
internal sealed class WorkerProcess : IBackEnd
{
    /// <summary>Time that a worker gets to settle its work after its connection was closed in order, before it is told and then made to end.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    /// <summary>A worker that dies closes its socket first: this long the reason may lag behind.</summary>
    private static readonly TimeSpan s_lastWords = TimeSpan.FromMilliseconds(50);

    private readonly string _program;
    private readonly string[] _arguments;
    private readonly Action<string>? _log;
    private ChildProcess? _child;
    private volatile int _pid;

    /// <summary>Starts nothing yet.</summary>
    /// <param name="program">Path of the executable.</param>
    /// <param name="arguments">Its options, but for the socket and what it logs.</param>
    /// <param name="log">Takes each line that a worker writes. Any thread.</param>
    public WorkerProcess(string program, IEnumerable<string> arguments, Action<string>? log = null)
    {
        _program = program;
        _arguments = [$"--fd={ChildProcess.InheritedNumber}", "--log-level=warning", .. arguments];
        _log = log;
        Name = Path.GetFileName(program);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int? ProcessId => _pid is var pid and not 0 ? pid : null;

    /// <inheritdoc/>
    public TimeSpan SettleTime => TimeSpan.Zero;

    /// <summary>Path of the program <paramref name="name"/>, which lies beside this one.</summary>
    /// <exception cref="FrontendException">It does not; the message says what to do.</exception>
    public static string Find(string name)
    {
        string folder = Path.GetDirectoryName(Environment.ProcessPath) ?? AppContext.BaseDirectory;
        string path = Path.Combine(folder, name);
        return File.Exists(path)
            ? path
            : throw new FrontendException($"{name} is not in {folder}: the three programs must lie side by side, as 'make build' puts them");
    }

    /// <inheritdoc/>
    public UnixSocket Connect()
    {
        if (_child is { } previous)
        {
            // Two workers must never serve one image: a process that even SIGKILL does not end yet sits in the kernel, in a disk's error handling.
            if (!previous.WaitForEnd(TimeSpan.Zero))
            {
                throw new FrontendException($"{Name} (process {previous.Pid}) was told to end and has not yet");
            }

            Forget();
        }

        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        using (theirs) // else its end would not be seen here
        {
            try
            {
                _child = ChildProcess.Start(_program, _arguments, theirs, _log);
                _pid = _child.Pid;
                return ours;
            }
            catch
            {
                ours.Dispose();
                throw;
            }
        }
    }

    /// <inheritdoc/>
    public string? End()
    {
        if (_child is not { } child)
        {
            return null;
        }

        // Whether it died or misbehaves: it must touch guest memory and image no more when its successor starts.
        // One that ended in order did so because its connection was given up: it has nothing to explain.
        string? words = child.WaitForEnd(s_lastWords) && child.ExitCode != 0 ? child.DescribeEnd() : null;
        child.Stop(TimeSpan.Zero);
        if (child.WaitForEnd(TimeSpan.Zero))
        {
            Forget();
        }

        return words;
    }

    /// <inheritdoc/>
    public bool HasEnded(TimeSpan wait) => _child is not { } child || child.WaitForEnd(wait);

    /// <inheritdoc/>
    public void Finish()
    {
        if (_child is { } child)
        {
            if (!child.WaitForEnd(s_patience))
            {
                child.Stop(s_patience);
            }

            Forget();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Forget();

    private void Forget()
    {
        _pid = 0;
        _child?.Dispose();
        _child = null;
    }
}
