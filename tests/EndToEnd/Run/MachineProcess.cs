using System.Globalization;
using System.Text.Json;
using Paravane.Hypervisor.Kvm;
using Paravane.Peers;

namespace Paravane.EndToEnd.Run;

/// <summary>A <c>paravane run</c> on the host's KVM, with a directory of its own, whose traces can be counted.</summary>
internal sealed class MachineProcess : IDisposable
{
    public const int Kill = 9, Terminate = 15, Interrupt = 2, HangUp = 1; // signals

    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>Inherited by workers, so that whoever is left can be found.</summary>
    private readonly string _mark = $"PV_TEST_MACHINE={Guid.NewGuid():N}";

    private readonly TemporaryDirectory _scratch;
    private readonly bool _ownsScratch;
    private ChildProcess? _process;

    public MachineProcess(TemporaryDirectory? scratch = null)
    {
        _ownsScratch = scratch is null;
        _scratch = scratch ?? TemporaryDirectory.Create();
        ControlPath = File("control");
    }

    public string ControlPath { get; }

    public ChildProcess Process => _process!;

    /// <summary>Process ids of its back-ends.</summary>
    public int[] Workers => [.. Marked().Where(id => id != Process.ProgramId)];

    /// <summary>Starts a machine with 32 MiB, this kernel, a control socket and these options, and waits for its greeting.</summary>
    public static MachineProcess Start(byte[] kernel, params string[] options)
    {
        MachineProcess machine = Begin(kernel, options);
        try
        {
            machine.Process.WaitFor(BareKernel.Greeting, Limit);
            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    /// <summary>As <see cref="Start"/>, without waiting.</summary>
    public static MachineProcess Begin(byte[] kernel, params string[] options)
    {
        RequireKvm();
        var machine = new MachineProcess();
        machine.Launch(kernel, options);
        return machine;
    }

    /// <summary>Skips the test where there is no KVM, saying why.</summary>
    public static void RequireKvm()
    {
        try
        {
            KvmSystem.Open().Dispose();
        }
        catch (KvmException problem)
        {
            Assert.Skip($"{problem.Message} (KvmTests run it on an emulated host's)");
        }
    }

    /// <summary>Starts the program, once or after an end again.</summary>
    public void Launch(byte[] kernel, params string[] options)
    {
        _process?.Dispose();
        System.IO.File.WriteAllBytes(File("kernel"), kernel);
        LaunchWith([$"--kernel={File("kernel")}", "--memory=32M", $"--control={ControlPath}", .. options]);
    }

    /// <summary>Starts the program with these options alone.</summary>
    public void LaunchWith(IEnumerable<string> options) => _process = Run(options);

    /// <summary>Runs <c>paravane run</c> with these options alone; it should refuse them.</summary>
    /// <returns>Its only line on standard error.</returns>
    public string Refuses(int exitCode, IEnumerable<string> options, params string[] wrapper)
    {
        string[] before = Content();
        _process = Run(options, wrapper);
        int code = _process.WaitForExit(Limit);
        Assert.True(code == exitCode, $"exit code {code}:\n{_process.Transcript}");
        Assert.Empty(_process.Output);
        string line = Assert.Single(_process.Transcript.TrimEnd('\n').Split('\n'));
        Assert.StartsWith("paravane run: ", line, StringComparison.Ordinal);
        AssertNobodyIsLeft();
        Assert.Equal(before, Content());
        return line;
    }

    /// <summary>Path in the machine's directory.</summary>
    public string File(string name) => _scratch.File(name);

    /// <summary>A file in the machine's directory.</summary>
    public string File(string name, byte[] content)
    {
        System.IO.File.WriteAllBytes(File(name), content);
        return File(name);
    }

    /// <summary>Asks with <c>paravane ctl</c>; it must succeed.</summary>
    public JsonElement Ask(params string[] words)
    {
        (int code, string output, string transcript) = TryAsk(words);
        Assert.True(code == 0, $"{string.Join(' ', words)}: exit code {code}:\n{transcript}\n{Process.Transcript}");
        Assert.Equal(output, transcript);
        using var answer = JsonDocument.Parse(output);
        Assert.True(answer.RootElement.GetProperty("ok").GetBoolean());
        return answer.RootElement.Clone();
    }

    /// <summary>Asks with <c>paravane ctl</c>; the machine must refuse.</summary>
    /// <returns>The line that says why.</returns>
    public string AskInVain(params string[] words)
    {
        (int code, string output, string transcript) = TryAsk(words);
        Assert.True(code == 1, $"{string.Join(' ', words)}: exit code {code}:\n{transcript}");
        Assert.Empty(output);
        return Assert.Single(transcript.TrimEnd('\n').Split('\n'));
    }

    public (int Code, string Output, string Transcript) TryAsk(params string[] words) =>
        ChildProcess.Run(Programs.Paravane, ["ctl", ControlPath, .. words], Limit);

    /// <summary>Names of the devices that the machine has.</summary>
    public string[] DeviceNames() =>
        [.. Ask("status").GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("name").GetString()!)];

    /// <summary>Waits for the end and looks for what was left behind.</summary>
    public void ExpectEnd(int exitCode)
    {
        int code = Process.WaitForExit(Limit);
        Assert.True(code == exitCode, $"exit code {code}:\n{Process.Transcript}");
        AssertNobodyIsLeft();
        Assert.False(Path.Exists(ControlPath), "the control socket is still there");
    }

    /// <summary>A process whose parent was killed may need a moment to notice.</summary>
    public void AssertNobodyIsLeft() =>
        Assert.True(SpinWait.SpinUntil(() => !Marked().Any(), Limit), $"left: {string.Join(' ', Marked())}");

    public void Dispose()
    {
        _process?.Dispose();
        if (_ownsScratch)
        {
            _scratch.Dispose();
        }
    }

    private ChildProcess Run(IEnumerable<string> options, params string[] wrapper) =>
        ChildProcess.Start("env", [_mark, .. wrapper, Programs.Paravane, "run", .. options], TimeSpan.FromSeconds(60), name: "paravane run");

    private string[] Content() => [.. Directory.EnumerateFileSystemEntries(File(string.Empty)).Order(StringComparer.Ordinal)];

    private IEnumerable<int> Marked()
    {
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture, out int id) && IsMarked(directory))
            {
                yield return id;
            }
        }
    }

    /// <summary>A zombie has no environment any more.</summary>
    private bool IsMarked(string directory)
    {
        try
        {
            return System.IO.File.ReadAllText($"{directory}/environ").Contains(_mark, StringComparison.Ordinal);
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
