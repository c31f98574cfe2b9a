using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Session;

/// <content>Dirty logging. It is armed by LOG_ALL and has a place to go from SET_LOG_BASE on; either may come first.</content>
internal sealed partial class VhostSession
{
    // 8 TiB of guest addresses: no number of the peer sizes a mapping above a cap.
    private const ulong MaxPrivateLogBytes = 256 << 20;

    private readonly List<DirtyLog> _logs = []; // all that are mapped: a session that ends in the middle of a switch closes them after the rings
    private DirtyLog? _frontendLog;
    private DirtyLog? _privateLog; // pages dirtied while LOG_ALL is on and SET_LOG_BASE has yet to come
    private FileDescriptor? _logSignal;
    private long _logSignalled; // completions when the front-end was told last

    private bool IsLogging => (_features & VirtioFeatures.LogAll) != 0;

    private DirtyLog? ActiveLog => IsLogging ? _frontendLog ?? _privateLog : null;

    /// <summary>SET_LOG_BASE. May come again with a larger or a fresh area; the old one is final when the answer is sent.</summary>
    public void SetLogBase(Message message)
    {
        if (message.Payload.Length != 16 || message.Descriptors.Count != 1)
        {
            throw new VhostFramingException($"SET_LOG_BASE: {message.Payload.Length} bytes with {message.Descriptors.Count} descriptors are not 16 bytes with one");
        }

        LogArea area = message.Read<LogArea>();
        ulong neededBytes = NeededLogBytes(_memory);
        if (area.SizeBytes < neededBytes)
        {
            Refused($"a log of 0x{area.SizeBytes:x} bytes does not cover guest memory, which needs 0x{neededBytes:x}");
        }

        DirtyLog? old = _frontendLog;
        _frontendLog = Keep(DirtyLog.Map(message.Descriptors.Peek(0), area.OffsetBytes, area.SizeBytes));
        ApplyLog();
        Close(old);

        // The whole struct back: some front-ends read exactly 16 bytes, whatever the header says.
        Reply(area);
    }

    /// <summary>SET_LOG_FD: signalled, coalesced, while pages are marked.</summary>
    public void SetLogFd(Message message)
    {
        if (!EventFd.CanBe(message.Descriptors.Peek(0)))
        {
            Refused("the descriptor is neither an eventfd nor a pipe");
        }

        message.Descriptors.Peek(0).SetNonBlocking();
        _logSignal?.Dispose();
        _logSignal = message.Descriptors.Take(0);
    }

    /// <summary>Has all rings log to where the features and areas of now say, and cleans up what is not used any more.</summary>
    private void ApplyLog()
    {
        SwitchLog();
        if (_privateLog is not null && (!IsLogging || _frontendLog is not null))
        {
            if (IsLogging)
            {
                _privateLog.TryMergeInto(_frontendLog!);
            }

            Close(_privateLog);
            _privateLog = null;
        }
    }

    /// <summary>
    /// Logging or the last ring came to an end: the front-end reads the area for the last time, and what is dirtied from now on belongs in the next one.
    /// Not for LOG_ALL being off, since an area may come first.
    /// </summary>
    private void ForgetFrontendLog()
    {
        Close(_frontendLog);
        _frontendLog = null;
    }

    /// <summary>Makes a place for dirty pages where the front-end has named none yet.</summary>
    private void EnsureLog()
    {
        if (_frontendLog is null)
        {
            _privateLog ??= NewPrivateLog(_memory);
        }
    }

    /// <summary>A table that reaches further needs a longer private log, before anything is written there.</summary>
    private void WidenPrivateLog(GuestMemory next)
    {
        if (_privateLog is not { } narrow || narrow.SizeBytes >= NeededLogBytes(next))
        {
            return;
        }

        _privateLog = NewPrivateLog(next);
        SwitchLog();
        narrow.TryMergeInto(_privateLog);
        Close(narrow);
    }

    private DirtyLog NewPrivateLog(GuestMemory memory)
    {
        if (NeededLogBytes(memory) > MaxPrivateLogBytes)
        {
            Refused($"guest memory reaches too high to be logged before SET_LOG_BASE");
        }

        try
        {
            return Keep(DirtyLog.Private(memory));
        }
        catch (LinuxException failure)
        {
            throw new VhostProtocolException(_message.Request, failure.Message); // whoever starts a ring takes back what it changed then
        }
    }

    private DirtyLog Keep(DirtyLog log)
    {
        _logs.Add(log);
        return log;
    }

    /// <summary>Unmaps a log that no ring writes any more.</summary>
    private void Close(DirtyLog? log)
    {
        if (log is not null)
        {
            _logs.Remove(log);
            log.Dispose();
        }
    }

    private void SwitchLog()
    {
        if (!IsAnyRunning)
        {
            return;
        }

        DirtyLog? log = ActiveLog;
        GuestAddress?[] usedLogs = Array.ConvertAll(_vrings, UsedLogOf);
        ExecuteAll(worker => Do(() => worker.SetLog(log, usedLogs)));
    }

    private static ulong NeededLogBytes(GuestMemory memory)
    {
        ReadOnlySpan<GuestRegion> regions = memory.Regions;
        return regions.IsEmpty ? 0 : ((regions[^1].Guest.Value + regions[^1].SizeBytes - 1) / DirtyLog.PageBytes / 8) + 1;
    }

    private bool IsLogSignalDue => _logSignal is not null && ActiveLog is not null;

    private void SignalLogModified()
    {
        long completed = 0;
        foreach (Vring vring in _vrings)
        {
            completed += vring.Queue?.Completed ?? 0;
        }

        if (completed != _logSignalled && IsLogSignalDue && _logSignal is { } signal)
        {
            _logSignalled = completed;
            EventFd.Signal(signal.Number);
        }
    }

    private void CloseLogs()
    {
        _logs.ForEach(log => log.Dispose());
        _logSignal?.Dispose();
    }
}
