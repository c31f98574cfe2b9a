namespace Paravane.Hypervisor.Bench;

/// <summary>A generator of requests or frames on one queue or queue pair, driven turn by turn by a <see cref="LoadThread"/>.</summary>
/// <remarks>
/// All members but <see cref="Counters"/> belong to the load's thread. A load goes through prepare, run, drain and (with verification) check;
/// a turn never waits.
/// </remarks>
internal interface ILoad
{
    /// <summary>What it counted; read from other threads.</summary>
    LoadCounters Counters { get; }

    /// <summary>Preparation is over: the load runs at full speed until <see cref="BeginDrain"/>.</summary>
    bool IsReady { get; }

    /// <summary>What is to be said when preparation does not end.</summary>
    string NotReady { get; }

    /// <summary>Everything sent has come back, and what had to be checked afterwards is checked.</summary>
    bool IsDone { get; }

    /// <summary>Descriptors which the device signals when it has used something.</summary>
    IReadOnlyList<int> CallDescriptors { get; }

    /// <summary>One turn: take what came back, send what may be sent, publish, kick if asked.</summary>
    /// <returns>True when anything was done, so that another turn may find more.</returns>
    bool RunTurn();

    /// <summary>Before sleeping: asks for a call.</summary>
    /// <returns>False when something has come back already.</returns>
    bool TryArm();

    /// <summary>After waking: asks for no calls.</summary>
    void Disarm();

    /// <summary>Sends nothing more and waits for what is under way.</summary>
    void BeginDrain();

    /// <summary>Gives up on what has not come back: counts it as lost.</summary>
    void Abandon();
}
