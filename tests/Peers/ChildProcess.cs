using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Tmds.Linux;

namespace Paravane.Peers;

/// <summary>A program started for a test or a measurement: its output is kept, its life is bounded, and disposing ends it.</summary>
/// <remarks>The program runs below <c>timeout</c>, so it ends on its own even when the process that started it was killed.</remarks>
public sealed class ChildProcess : IDisposable
{
    private const int WrapperArguments = 3;             // of timeout
    private static readonly TimeSpan s_politeEnd = TimeSpan.FromSeconds(5);

    private readonly Process _wrapper;
    private readonly StringBuilder _output = new();     // guarded by itself
    private readonly StringBuilder _errors = new();     // guarded by _output; apart, since testpmd writes its prompt letter by letter
    private readonly Thread[] _readers;
    private int _mark;                                  // output before it was seen by WaitFor
    private bool _ended;                                // guarded by _output: both streams are at their end
    private int _openStreams = 2;                       // guarded by _output
    private int _programId;

    private ChildProcess(string name, string commandLine, Process wrapper)
    {
        Name = name;
        CommandLine = commandLine;
        _wrapper = wrapper;
        _readers = [Reader(wrapper.StandardOutput, _output), Reader(wrapper.StandardError, _errors)];
    }

    /// <summary>Name of the program, for messages.</summary>
    public string Name { get; }

    /// <summary>The program and its arguments as one would type them.</summary>
    public string CommandLine { get; }

    /// <summary>Everything that the program has written to its standard output until now.</summary>
    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    /// <summary>Everything that the program has written until now: its standard error, then its standard output.</summary>
    public string Transcript
    {
        get
        {
            lock (_output)
                return $"{_errors}{_output}";
        }
    }

    /// <summary>Whether the program has ended.</summary>
    public bool HasExited => _wrapper.HasExited;

    /// <summary>Process id of the program itself, not of the wrapper that bounds its life.</summary>
    public int ProgramId
    {
        get
        {
            for (int attempt = 0; _programId == 0 && attempt < 200; attempt++)
            {
                string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{_wrapper.Id}/task/{_wrapper.Id}/children");
                string children = File.Exists(path) ? File.ReadAllText(path).Trim() : string.Empty;
                if (children.Length > 0)
                    _programId = int.Parse(children.Split(' ')[0], CultureInfo.InvariantCulture);
                else
                    Thread.Sleep(1);
            }

            return _programId != 0 ? _programId : throw new PeerException($"{Name} is not running:\n{Transcript}");
        }
    }

    /// <summary>Starts a program that lives for at most <paramref name="lifetime"/>, bound to <paramref name="cpu"/> unless that is null.</summary>
    public static ChildProcess Start(string program, IEnumerable<string> arguments, TimeSpan lifetime, int? cpu = null, string? name = null)
    {
        var start = new ProcessStartInfo("timeout")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add("--foreground");
        start.ArgumentList.Add("--kill-after=5");
        start.ArgumentList.Add(Math.Ceiling(lifetime.TotalSeconds).ToString(CultureInfo.InvariantCulture));
        if (cpu is not null)
        {
            start.ArgumentList.Add("taskset");
            start.ArgumentList.Add("--cpu-list");
            start.ArgumentList.Add(cpu.Value.ToString(CultureInfo.InvariantCulture));
        }

        start.ArgumentList.Add(program);
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        try
        {
            string commandLine = string.Join(' ', start.ArgumentList.Skip(WrapperArguments));
            return new ChildProcess(name ?? Path.GetFileName(program), commandLine, Process.Start(start)!);
        }
        catch (Win32Exception failure)
        {
            throw new PeerException($"{program} cannot be started: {failure.Message}");
        }
    }

    /// <summary>Runs a program to its end.</summary>
    /// <returns>Its exit code, its standard output, and all that it wrote.</returns>
    public static (int ExitCode, string Output, string Transcript) Run(string program, IEnumerable<string> arguments, TimeSpan lifetime, int? cpu = null)
    {
        using ChildProcess child = Start(program, arguments, lifetime, cpu);
        return (child.WaitForExit(lifetime + s_politeEnd), child.Output, child.Transcript);
    }

    /// <summary>Writes a line to the program's standard input.</summary>
    public void Send(string line)
    {
        try
        {
            _wrapper.StandardInput.Write(line + '\n');
            _wrapper.StandardInput.Flush();
        }
        catch (IOException)
        {
            throw new PeerException($"{Name} has ended:\n{Transcript}");
        }
    }

    /// <summary>Waits until the program has written <paramref name="text"/> to its standard output.</summary>
    /// <returns>What it wrote since the end of the previous wait, up to and including the text.</returns>
    public string WaitFor(string text, TimeSpan patience)
    {
        long deadline = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        lock (_output)
        {
            while (true)
            {
                string unseen = _output.ToString(_mark, _output.Length - _mark);
                int found = unseen.IndexOf(text, StringComparison.Ordinal);
                if (found >= 0)
                {
                    _mark += found + text.Length;
                    return unseen[..(found + text.Length)];
                }

                long left = deadline - Environment.TickCount64;
                if (_ended || left <= 0)
                    throw new PeerException($"{Name} {(_ended ? "ended" : $"ran for {patience.TotalSeconds} s")} without writing '{text}':\n{_errors}{_output}");
                Monitor.Wait(_output, (int)Math.Min(left, 1000));
            }
        }
    }

    /// <summary>Waits for the end of the program and of its output.</summary>
    /// <returns>Its exit code; 124 when it was ended since its lifetime was over.</returns>
    public int WaitForExit(TimeSpan patience)
    {
        if (!_wrapper.WaitForExit(patience))
            throw new PeerException($"{Name} did not end within {patience.TotalSeconds} s:\n{Transcript}");
        foreach (Thread reader in _readers)
            reader.Join(s_politeEnd);
        return _wrapper.ExitCode;
    }

    /// <summary>Asks the program to stop (SIGTERM) and waits for its end.</summary>
    public int Stop()
    {
        Signal(LibC.SIGTERM);
        return WaitForExit(s_politeEnd);
    }

    /// <summary>Sends a signal to the program.</summary>
    public void Signal(int signal)
    {
        if (!_wrapper.HasExited)
            _ = LibC.kill(ProgramId, signal);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_wrapper.HasExited)
        {
            _ = LibC.kill(_wrapper.Id, LibC.SIGTERM);       // passed on to the program
            if (!_wrapper.WaitForExit(s_politeEnd))
                _wrapper.Kill(entireProcessTree: true);
        }

        foreach (Thread reader in _readers)
            reader.Join(s_politeEnd);
        _wrapper.Dispose();
    }

    private Thread Reader(StreamReader stream, StringBuilder text)
    {
        var thread = new Thread(() => Drain(stream, text)) { IsBackground = true, Name = $"{Name}-output" };
        thread.Start();
        return thread;
    }

    private void Drain(StreamReader stream, StringBuilder text)
    {
        char[] buffer = new char[4096];
        int count;
        while ((count = Read(stream, buffer)) > 0)
        {
            lock (_output)
            {
                text.Append(buffer, 0, count);
                Monitor.PulseAll(_output);
            }
        }

        lock (_output)
        {
            _ended = --_openStreams == 0;
            Monitor.PulseAll(_output);
        }
    }

    private static int Read(StreamReader stream, char[] buffer)
    {
        try
        {
            return stream.Read(buffer, 0, buffer.Length);
        }
        catch (Exception closed) when (closed is IOException or ObjectDisposedException)
        {
            return 0;
        }
    }
}
